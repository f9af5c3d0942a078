"""The docker CLI with user-defined networks."""

import json

import pytest
from tests.support.docker_cli import Docker


pytestmark = pytest.mark.root


@pytest.fixture
def clean(docker: Docker):
    yield docker
    docker.engine.remove_all()
    docker("network", "prune", "-f")
    assert docker("network", "ls", "-q", "--filter", "type=custom").lines == []


def test_the_life_of_a_network(clean: Docker):
    made = clean("network", "create", "--label", "a=b", "--subnet", "10.236.1.0/24", "one").word
    assert clean("network", "ls", "-q", "--no-trunc", "--filter", "label=a=b").lines == [made]
    assert clean("network", "ls", "-q", "--filter", "name=^on").lines == [made[:12]]
    assert clean("network", "ls", "-q", "--filter", "name=^ne").lines == []
    clean("run", "-d", "--name", "web", "--network", "one", "busybox", "sleep", "600")
    said = clean("run", "--rm", "--network", "one", "busybox", "ping", "-c1", "-W2", "web").out
    assert " 0% packet loss" in said
    assert clean("network", "ls", "-q", "--filter", "dangling=true").lines == []
    refused = clean("network", "rm", "one", code=1)
    assert "has active endpoints" in refused.err
    (shown,) = json.loads(clean("network", "inspect", "one").out)
    assert [c["Name"] for c in shown["Containers"].values()] == ["web"]
    clean("rm", "-f", "web")
    assert clean("network", "rm", "one").word == "one"


def test_addresses_aliases_and_hardware_addresses(clean: Docker):
    clean("network", "create", "--subnet", "10.236.2.0/24", "--ip-range", "10.236.2.128/25", "two")
    clean(
        "run", "-d", "--name", "web", "--network", "two", "--ip", "10.236.2.9",
        "--network-alias", "www", "--mac-address", "02:42:11:22:33:44", "busybox", "sleep", "600",
    )  # fmt: skip
    out = clean("exec", "web", "ip", "addr", "show", "eth0").out
    assert "10.236.2.9/24" in out
    assert "02:42:11:22:33:44" in out
    said = clean("run", "--rm", "--network", "two", "busybox", "nslookup", "www").out
    assert "10.236.2.9" in said
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.DNSNames}}{{end}}"
    assert clean("inspect", "-f", template, "web").word.startswith("10.236.2.9 [web www ")


def test_connect_and_disconnect_change_what_a_container_sees(clean: Docker):
    clean("network", "create", "one")
    clean("network", "create", "two")
    clean("run", "-d", "--name", "web", "--network", "one", "busybox", "sleep", "600")
    clean("run", "-d", "--name", "other", "--network", "two", "busybox", "sleep", "600")
    assert "bad address" in clean("exec", "web", "ping", "-c1", "-W1", "peer", code=1).err
    clean("network", "connect", "--alias", "peer", "--link", "web:friend", "one", "other")
    assert " 0% packet loss" in clean("exec", "web", "ping", "-c1", "-W2", "peer").out
    assert " 0% packet loss" in clean("exec", "other", "ping", "-c1", "-W2", "friend").out
    clean("network", "disconnect", "one", "other")
    assert "bad address" in clean("exec", "web", "ping", "-c1", "-W1", "peer", code=1).err


def test_several_networks_with_options_at_run(clean: Docker):
    for name in ("one", "two"):
        clean("network", "create", name)
    clean(
        "run", "-d", "--name", "web", "--network", "one",
        "--network", "name=two,gw-priority=1,driver-opt=com.docker.network.endpoint.ifname=front,"
        '"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"',
        "busybox", "sleep", "600",
    )  # fmt: skip
    assert "dev front" in clean("exec", "web", "ip", "route", "show", "default").out
    martians = "/proc/sys/net/ipv4/conf/front/log_martians"
    assert clean("exec", "web", "cat", martians).word == "1"


def test_networks_from_a_configuration(clean: Docker):
    clean("network", "create", "--config-only", "--subnet", "10.236.3.0/24", "settings")
    clean("network", "create", "--config-from", "settings", "from")
    (shown,) = json.loads(clean("network", "inspect", "from").out)
    assert shown["IPAM"]["Config"][0]["Subnet"] == "10.236.3.0/24"
    assert "is in use" in clean("network", "rm", "settings", code=1).err
    clean("network", "rm", "from")
    clean("network", "rm", "settings")


def test_prune_leaves_what_is_used(clean: Docker):
    for name in ("used", "unused"):
        clean("network", "create", "--label", "pruned", name)
    clean("run", "-d", "--network", "used", "busybox", "sleep", "600")
    said = clean("network", "prune", "-f", "--filter", "label=pruned").out
    assert "unused" in said.splitlines()
    assert clean("network", "ls", "--format", "{{.Name}}", "--filter", "type=custom").lines == [
        "used"
    ]
