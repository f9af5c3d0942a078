"""The host's subnets, which are read again only after changes on foreign interfaces."""

import ipaddress
from ipaddress import ip_interface, ip_network

import pytest

from palan.engine.networks.host_subnets import HostSubnets
from palan.host import namespaces
from palan.host.link_monitor import LinkMonitor
from palan.host.netlink import (
    Netlink,
    add_address,
    add_bridge,
    add_route,
    delete_address,
    delete_link,
)


pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path):
    """Yield a socket in a namespace that stands for the host."""
    path = tmp_path / "host"
    namespaces.create_netns(path)
    with Netlink(path) as netlink:
        yield path, netlink
    namespaces.remove_netns(path)


@pytest.fixture
def read(host):
    """Yield a function that reads the subnets in the namespace, and its state."""
    subnets = HostSubnets()

    def call(*own: str) -> set[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return set(namespaces.run_in_netns(host[0], lambda: subnets.read(own)))

    call.state = subnets  # type: ignore[attr-defined]
    yield call
    subnets.close()


def add(netlink, name, text, kind=add_bridge):
    netlink.perform(kind(name, up=True))
    netlink.perform(add_address(netlink.link(name).index, ip_interface(text)))


def test_changes_of_foreign_interfaces_are_noticed(host, read):
    _, netlink = host
    assert read() == set()
    add(netlink, "eth0", "192.0.2.1/24")
    assert read() == {ip_network("192.0.2.0/24")}
    netlink.perform(add_route("198.51.100.0/24", gateway="192.0.2.9"))
    assert read() == {ip_network("192.0.2.0/24"), ip_network("198.51.100.0/24")}
    netlink.perform(delete_address(netlink.link("eth0").index, ip_interface("192.0.2.1/24")))
    assert read() == set()
    netlink.perform(delete_link("eth0"))
    assert read() == set()


def test_the_engines_own_networks_cause_no_reading(host, read):
    _, netlink = host
    add(netlink, "eth0", "192.0.2.1/24")
    wanted = {ip_network("192.0.2.0/24")}
    own = []
    assert read() == wanted
    for number in range(5):
        own.append(f"br{number}")
        add(netlink, own[-1], f"10.0.{number}.1/24")
        assert read(*own) == wanted
    while own:
        netlink.perform(delete_link(own.pop()))
        assert read(*own) == wanted
    assert read.state.reads == 1


def test_bridges_that_networks_borrow_do_not_count_meanwhile(host, read):
    _, netlink = host
    add(netlink, "br0", "10.0.0.1/24")
    assert read() == {ip_network("10.0.0.0/24")}
    assert read("br0") == set()
    assert read() == {ip_network("10.0.0.0/24")}


def test_deleted_interfaces_are_reported(host):
    path, netlink = host
    monitor = namespaces.run_in_netns(path, LinkMonitor)
    try:
        assert monitor.read() == set()
        for name in ("br0", "br1"):
            netlink.perform(add_bridge(name, up=True))
        netlink.perform(delete_link("br1"))
        assert monitor.read() == {"br1"}
    finally:
        monitor.close()


def test_the_addresses_of_one_interface(host):
    _, netlink = host
    add(netlink, "br0", "10.0.0.1/24")
    add(netlink, "br1", "10.0.1.1/24")
    index = netlink.link("br1").index
    found = netlink.addresses(index)
    assert {a.index for a in found} == {index}
    assert ip_interface("10.0.1.1/24") in {a.address for a in found}
    assert netlink.addresses(9999) == []
    assert len([a for a in netlink.addresses() if a.address.version == 4]) >= 2
