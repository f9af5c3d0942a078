from typing import Any

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.containers.etc_files import hosts_file
from palan.engine.networks.resolv_conf import DnsSettings, resolv_conf


def test_hosts_has_extra_hosts_and_the_container_itself():
    text = hosts_file(
        ["db:10.0.0.9", "gw=host-gateway", "six:[fd00::1]"],
        addresses=["172.17.0.2"], names=["web"], gateways=["172.17.0.1"],
    )  # fmt: skip
    assert text.startswith("127.0.0.1\tlocalhost\n")
    assert "10.0.0.9\tdb\n" in text
    assert "172.17.0.1\tgw\n" in text
    assert "fd00::1\tsix\n" in text
    assert text.endswith("172.17.0.2\tweb\n")


def test_addresses_of_the_host():
    both = hosts_file(["gw:host-gateway"], addresses=[], names=[], gateways=["10.0.0.1", "fd00::1"])
    assert both.endswith("10.0.0.1\tgw\nfd00::1\tgw\n")
    with pytest.raises(InvalidParameter, match="unable to derive the IP value for host-gateway"):
        hosts_file(["gw:host-gateway"], addresses=[], names=[], gateways=[])
    without = hosts_file([], addresses=["10.0.0.2"], names=["box"], gateways=[], ipv6=False)
    assert without == "127.0.0.1\tlocalhost\n10.0.0.2\tbox\n"


def resolv(host: str, **options: object) -> str:
    given: dict[str, Any] = {"own_namespace": True, **options}
    settings = {key: given.pop(key) for key in ("servers", "search", "options") if key in given}
    return resolv_conf(host, DnsSettings(**settings), **given)


def test_the_hosts_resolvers_are_used_without_its_loopback():
    text = resolv("nameserver 127.0.0.53\nnameserver 10.1.1.1 # x\nsearch a.test b.test\n")
    assert text == "nameserver 10.1.1.1\nsearch a.test b.test\n"


def test_public_resolvers_where_the_host_has_only_loopback():
    assert resolv("nameserver ::1\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    assert resolv("nameserver ::1\n", own_namespace=False) == "nameserver ::1\n"


def test_given_settings_replace_the_hosts():
    text = resolv(
        "nameserver 10.1.1.1\nsearch a\noptions ndots:5\n",
        servers=["9.9.9.9"], search=["."], options=["timeout:1"],
    )  # fmt: skip
    assert text == "nameserver 9.9.9.9\noptions timeout:1\n"
