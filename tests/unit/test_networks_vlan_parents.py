"""The parent interfaces that macvlan networks create, share and remove; without a kernel."""

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from palan.api.errors import Conflict, InvalidParameter
from palan.engine.config import EngineConfig
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.vlan import IpvlanDriver, MacvlanDriver


CONFIG = EngineConfig()


class FakeHost:
    """A fake host; netlink requests create and delete its interfaces."""

    def __init__(self, *names: str) -> None:
        self.links: dict[str, Any] = {}
        for name in names:
            self._add(name)
        self.asked: list[str] = []

    def _add(self, name: str) -> None:
        number = len(self.links) + 1
        self.links[name] = SimpleNamespace(index=number, name=name, alias="", up=False)

    def link(self, name: str) -> Any:
        return self.links.get(name)

    def perform(self, *requests: Any) -> None:
        for request in requests:
            self.asked.append(request.what)
            verb, *_, name = request.what.split()
            if name == "palan-probe":
                raise OSError(errno.EINVAL, "loopback can't be a parent")
            if verb == "create":
                self._add(name)
            elif verb == "delete":
                found = next(n for n, link in self.links.items() if str(link.index) == name)
                del self.links[found]
            else:
                link = self.links.get(name) or next(
                    link for link in self.links.values() if str(link.index) == name
                )
                link.up = True
                text = request.body.split(b"palan ")
                if len(text) > 1:
                    link.alias = "palan " + text[1].partition(b"\0")[0].decode()


def make(driver: Any, name: str, networks: list[Network], **options: str) -> Network:
    record = NetworkRecord(id=name * 64, name=name, driver=driver.name, created=1, options=options)
    driver.check(record, networks)
    network = Network(record)
    networks.append(network)
    return network


def test_a_tagged_interface_is_shared_and_goes_with_the_last_network():
    networks: list[Network] = []
    driver = MacvlanDriver(CONFIG, networks)
    host: Any = FakeHost("eth0")
    first, second = (make(driver, n, networks, parent="eth0.50") for n in "ab")
    for network in (first, second):
        driver.prepare(host, network)
        driver.up(host, network)
    assert host.links["eth0.50"].alias == f"palan {first.id}"
    networks.remove(first)
    driver.down(host, first)
    assert host.links["eth0.50"].alias == f"palan {second.id}"
    networks.remove(second)
    driver.down(host, second)
    assert list(host.links) == ["eth0"]
    driver.down(host, second)


def test_an_interface_that_was_there_stays():
    networks: list[Network] = []
    driver = MacvlanDriver(CONFIG, networks)
    host: Any = FakeHost("eth0.50")
    network = make(driver, "a", networks, parent="eth0.50")
    driver.prepare(host, network)
    driver.up(host, network)
    assert network.record.foreign
    driver.down(host, network)
    assert list(host.links) == ["eth0.50"]


def test_the_interface_below_must_be_there():
    driver = MacvlanDriver(CONFIG, [])
    network = make(driver, "a", [], parent="eth0.50")
    with pytest.raises(InvalidParameter, match="not found on the host: eth0"):
        driver.prepare(FakeHost(), network)  # type: ignore[arg-type]


def test_one_interface_is_not_for_both_kinds():
    networks: list[Network] = []
    make(MacvlanDriver(CONFIG, networks), "a", networks, parent="eth0")
    with pytest.raises(Conflict, match="already using parent interface eth0"):
        make(IpvlanDriver(CONFIG, networks), "b", networks, parent="eth0")


def test_ipvlan_in_layer_three_needs_no_gateway():
    driver = IpvlanDriver(CONFIG, [])
    assert make(driver, "a", [], parent="eth0", ipvlan_mode="l3").routed_by_device
    assert not make(driver, "b", [], parent="eth1").routed_by_device
    for options in ({"ipvlan_mode": "l4"}, {"ipvlan_flag": "odd"}):
        with pytest.raises(InvalidParameter, match="requested ipvlan"):
            make(driver, "c", [], parent="eth2", **options)
