"""Bridges, veth pairs and rules, in network namespaces made for the test."""

import ipaddress
import os
import socket
from pathlib import Path

import pytest

from palan.host import namespaces, nftables
from palan.host.netlink import (
    Netlink,
    add_address,
    add_bridge,
    add_forwarding,
    add_macvlan,
    add_neighbor,
    add_route,
    add_veth,
    add_vxlan,
    delete_address,
    delete_forwarding,
    delete_link,
    delete_neighbor,
    delete_route,
    set_bridge_port,
    set_link,
)


pytestmark = pytest.mark.root


@pytest.fixture
def router(tmp_path):
    path = tmp_path / "router"
    namespaces.create_netns(path, sysctls={"net.ipv4.ip_forward": "1"})
    yield path
    namespaces.remove_netns(path)


@pytest.fixture
def leaf(tmp_path):
    path = tmp_path / "leaf"
    namespaces.create_netns(path)
    yield path
    namespaces.remove_netns(path)


def test_a_namespace_comes_with_loopback_and_goes(tmp_path):
    path = tmp_path / "ns"
    namespaces.create_netns(path, sysctls={"net.ipv4.ping_group_range": "0 100"})
    try:
        assert namespaces.is_namespace(path)
        with Netlink(path) as netlink:
            (loopback,) = netlink.links()
            assert loopback.up
            assert ipaddress.ip_interface("127.0.0.1/8") in {
                entry.address for entry in netlink.addresses(loopback.index)
            }
        file = Path("/proc/sys/net/ipv4/ping_group_range")
        inside = namespaces.run_in_netns(path, file.read_text)
        assert inside.split() == ["0", "100"]
        assert file.read_text() != inside
        with pytest.raises(FileExistsError):
            namespaces.create_netns(path)
    finally:
        namespaces.remove_netns(path)
    assert not path.exists()
    namespaces.remove_netns(path)


def test_a_failed_namespace_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        namespaces.create_netns(tmp_path / "ns", sysctls={"net.no.such": "1"})
    assert list(tmp_path.iterdir()) == []


def test_the_callers_thread_stays_where_it_is(router):
    before = Path("/proc/thread-self/ns/net").readlink()
    inside = namespaces.run_in_netns(router, Path("/proc/thread-self/ns/net").readlink)
    assert inside != before
    assert Path("/proc/thread-self/ns/net").readlink() == before


def wire(router, leaf):
    """Make a bridge with an address in one namespace, and an interface on it in the other."""
    fd = os.open(leaf, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Netlink(router) as here, Netlink(leaf) as there:
            here.perform(add_bridge("br0", mac="02:42:00:00:00:01", mtu=1400))
            bridge = here.link("br0")
            assert bridge is not None
            here.perform(
                add_address(bridge.index, "198.18.0.1/24"),
                add_address(bridge.index, "fd00:18::1/64"),
                add_veth(
                    "veth1",
                    "eth0",
                    master=bridge.index,
                    mtu=1400,
                    peer_mac="02:42:c6:12:00:02",
                    peer_netns=fd,
                ),
                set_bridge_port("veth1", hairpin=True, isolated=True),
            )
            end = there.link("eth0")
            assert end is not None
            there.perform(
                set_link("eth0", up=True),
                add_address(end.index, "198.18.0.2/24"),
                add_address(end.index, "fd00:18::2/64"),
                add_route("0.0.0.0/0", gateway="198.18.0.1"),
                add_route("::/0", gateway="fd00:18::1"),
            )
            return bridge, end
    finally:
        os.close(fd)


def test_a_pair_is_born_as_wished(router, leaf):
    bridge, end = wire(router, leaf)
    assert (bridge.kind, bridge.mac, bridge.mtu) == ("bridge", "02:42:00:00:00:01", 1400)
    assert (end.kind, end.mac, end.mtu) == ("veth", "02:42:c6:12:00:02", 1400)
    with Netlink(router) as netlink:
        port = netlink.link("veth1")
        assert port is not None
        assert port.master == bridge.index
        assert port.up
        assert port.index == end.peer


@pytest.mark.parametrize("address", ["198.18.0.1", "fd00:18::1"])
def test_packets_pass(router, leaf, address):
    wire(router, leaf)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = namespaces.run_in_netns(
        router, lambda: socket.create_server((address, 0), family=family)
    )
    with server:
        port = server.getsockname()[1]
        client = namespaces.run_in_netns(
            leaf, lambda: socket.create_connection((address, port), timeout=5)
        )
        with client:
            client.sendall(b"hello")
            connection, peer = server.accept()
            with connection:
                assert connection.recv(10) == b"hello"
                assert peer[0] == address[:-1] + "2"


def test_routes_and_addresses_come_and_go(router, leaf):
    _, end = wire(router, leaf)
    default = ipaddress.ip_network("0.0.0.0/0")
    with Netlink(leaf) as netlink:
        routes = {route.destination: route for route in netlink.routes()}
        assert routes[default].gateway == ipaddress.ip_address("198.18.0.1")
        assert routes[default].index == end.index
        netlink.perform(
            delete_route("0.0.0.0/0", gateway="198.18.0.1"),
            delete_address(end.index, "fd00:18::2/64"),
            add_neighbor(end.index, "198.18.0.9", "02:42:00:00:00:09"),
            delete_neighbor(end.index, "198.18.0.9"),
        )
        assert default not in {route.destination for route in netlink.routes()}
        left = {str(entry.address) for entry in netlink.addresses(end.index)}
        assert "198.18.0.2/24" in left
        assert "fd00:18::2/64" not in left


def test_renaming_and_deleting(router, leaf):
    _, end = wire(router, leaf)
    with Netlink(leaf) as netlink:
        netlink.perform(set_link(end.index, up=False), set_link(end.index, name="net7", mtu=1300))
        renamed = netlink.link("net7")
        assert renamed is not None
        assert (renamed.index, renamed.mtu, renamed.up) == (end.index, 1300, False)
    with Netlink(router) as netlink:
        netlink.perform(delete_link("veth1"))
        assert netlink.link("veth1") is None


def test_errors_say_what_was_attempted_and_do_not_stop_the_rest(router):
    with Netlink(router) as netlink:
        netlink.perform(add_bridge("br0"))
        with pytest.raises(FileExistsError, match="cannot create bridge br0: File exists"):
            netlink.perform(add_bridge("br0"), add_bridge("br1"))
        assert netlink.link("br1") is not None
        with pytest.raises(
            OSError, match=r"cannot add route to 203\.0\.113\.0/24 via 203\.0\.113\.1"
        ):
            netlink.perform(add_route("203.0.113.0/24", gateway="203.0.113.1"))
        netlink.perform()


def test_a_large_batch(router):
    with Netlink(router) as netlink:
        netlink.perform(add_bridge("br0"))
        bridge = netlink.link("br0")
        assert bridge is not None
        netlink.perform(
            *(add_address(bridge.index, f"198.19.{n // 250}.{n % 250 + 1}/32") for n in range(500))
        )
        assert len([a for a in netlink.addresses(bridge.index) if a.address.version == 4]) == 500


def test_a_tunnel_and_a_macvlan_in_another_namespace(router, leaf):
    with Netlink(router) as here, Netlink(leaf) as there:
        here.perform(add_bridge("br0"))
        bridge = here.link("br0")
        assert bridge is not None
        fd = os.open(leaf, os.O_RDONLY | os.O_CLOEXEC)
        try:
            here.perform(
                add_vxlan("vx0", 4097, local=ipaddress.ip_address("198.18.0.1"), netns=fd),
                add_macvlan("mv0", bridge.index, netns=fd, up=True),
            )
        finally:
            os.close(fd)
        tunnel, own = there.link("vx0"), there.link("mv0")
        assert tunnel is not None
        assert own is not None
        assert (tunnel.kind, own.kind, own.peer) == ("vxlan", "macvlan", bridge.index)
        there.perform(
            add_forwarding(tunnel.index, "02:42:00:00:00:77", "198.18.0.9"),
            delete_forwarding(tunnel.index, "02:42:00:00:00:77", "198.18.0.9"),
        )


def test_rules_take_effect_together_or_not_at_all(router):
    script = "add table ip t\nadd chain ip t c { type nat hook postrouting priority 100; }\n"
    nftables.run(script + "add rule ip t c masquerade\n", netns=router)
    listed = nftables.list_table("ip", "t", netns=router)
    assert listed is not None
    assert [next(iter(entry)) for entry in listed] == ["table", "chain", "rule"]
    with pytest.raises(nftables.NftError, match="No such file or directory"):
        nftables.run("add table ip u\nadd rule ip nowhere c accept\n", netns=router)
    assert nftables.list_table("ip", "u", netns=router) is None
    assert nftables.list_table("ip", "t") is None


def test_the_probe_leaves_no_table(router):
    assert nftables.why_unavailable(netns=router) is None
    tables = nftables._nft(["-j", "list", "tables"], None, router)
    assert b"probe" not in tables.stdout
