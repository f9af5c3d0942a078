"""Reachability across networks and from outside, in each mode that a network can have."""

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.network import (
    connect,
    free_port,
    listen,
    neighbour,
    netns_of,
    talk,
    talk_udp,
)

from palan.host.namespaces import run_in_netns


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")
BRIDGE = "com.docker.network.bridge."
SILENT = 0.4
"""Seconds after which a missing reply counts as unreachable."""


@pytest.fixture(scope="module")
def next_door():
    with neighbour() as machine:
        yield machine


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def walled(request):
    """Yield an engine with each of the firewall back ends."""
    engine = TestEngine(f"--firewall-backend={request.param}", "--userland-proxy=false")
    engine.start()
    assert engine.api.get("/info").json["FirewallBackend"]["Driver"] == request.param
    engine.load_image()
    yield engine
    engine.close()
    if request.param == "iptables":
        for program in ("iptables-save", "ip6tables-save"):
            saved = subprocess.run([program], check=True, capture_output=True, text=True).stdout
            assert engine.config.table_name not in saved


@pytest.fixture
def network(walled):
    made = []

    def make(name, options=None, **body):
        options = {BRIDGE + key: value for key, value in (options or {}).items()}
        answer = walled.api.post("/networks/create", {"Name": name, "Options": options, **body})
        assert answer.status == 201, answer.body
        made.append(answer.json["Id"])

    yield make
    walled.remove_all()
    for made_id in made:
        assert walled.api.delete(f"/networks/{made_id}").status == 204


def publish(port, *, inner=80, protocol="tcp", ip=""):
    return {"PortBindings": {f"{inner}/{protocol}": [{"HostIp": ip, "HostPort": str(port)}]}}


def run(engine, name, port=None, **options):
    host = {"NetworkMode": name, **(publish(port, **options) if port else {})}
    return engine.run(*SLEEP, host=host)


def address(engine, container, *, six=False):
    (endpoint,) = engine.inspect(container)["NetworkSettings"]["Networks"].values()
    return endpoint["GlobalIPv6Address" if six else "IPAddress"]


def subnet_of(engine, name):
    return engine.api.get(f"/networks/{name}").json["IPAM"]["Config"][0]["Subnet"]


@contextlib.contextmanager
def route_from_neighbour(next_door, subnet):
    """Give the neighbouring machine a route to a network."""
    next_door.add_route(subnet)
    try:
        yield
    finally:
        command = ["ip", "-n", next_door.name, "route", "delete", subnet]
        subprocess.run(command, check=True)


def refuses(netns, host, port):
    with pytest.raises(OSError, match=r"timed out|refused|unreachable|No route"):
        connect(netns, host, port, timeout=SILENT)


def test_networks_do_not_reach_each_other(walled, network):
    network("one")
    network("two")
    server, neighbour_, stranger = (run(walled, name) for name in ("one", "one", "two"))
    where = address(walled, server)
    with listen(netns_of(walled, server), 80) as listening:
        assert talk(listening, connect(netns_of(walled, neighbour_), where, 80))
        refuses(netns_of(walled, stranger), where, 80)
        refuses(netns_of(walled, walled.run(*SLEEP)), where, 80)
        # The host reaches it, as with Docker.
        assert talk(listening, connect(None, where, 80))


def test_published_ports_are_reached_from_other_networks_by_the_hosts_address(
    walled, network, next_door
):
    network("one")
    network("two")
    port = free_port()
    server = run(walled, "one", port)
    stranger, neighbour_ = run(walled, "two"), run(walled, "one")
    with listen(netns_of(walled, server), 80) as listening:
        for client in (stranger, neighbour_, server):
            assert talk(listening, connect(netns_of(walled, client), next_door.host, port))
        assert talk(listening, connect(next_door.netns, next_door.host, port)) == next_door.address
        assert talk(listening, connect(None, "127.0.0.1", port))
        refuses(netns_of(walled, stranger), address(walled, server), 80)


def test_containers_that_may_not_talk(walled, network, next_door):
    network("quiet", {"enable_icc": "false"})
    port = free_port()
    server, other = run(walled, "quiet", port), run(walled, "quiet")
    with listen(netns_of(walled, server), 80) as listening:
        refuses(netns_of(walled, other), address(walled, server), 80)
        assert talk(listening, connect(netns_of(walled, other), next_door.host, port))
        with listen(next_door.netns, 80) as outside:
            assert talk(outside, connect(netns_of(walled, other), next_door.address, 80))


def test_an_internal_network(walled, network, next_door):
    network("inside", Internal=True)
    network("one")
    port = free_port()
    published = run(walled, "one", port)
    server, other = run(walled, "inside", free_port()), run(walled, "inside")
    subnet = subnet_of(walled, "inside")
    with listen(netns_of(walled, server), 80) as listening:
        assert talk(listening, connect(netns_of(walled, other), address(walled, server), 80))
        with route_from_neighbour(next_door, subnet):
            refuses(next_door.netns, address(walled, server), 80)
        refuses(netns_of(walled, published), address(walled, server), 80)
    with listen(next_door.netns, 80):
        refuses(netns_of(walled, other), next_door.address, 80)
        # Not even with a route.
        gateway = walled.api.get("/networks/inside").json["IPAM"]["Config"][0]["Gateway"]
        _default_route(netns_of(walled, other), gateway)
        refuses(netns_of(walled, other), next_door.address, 80)
    with listen(netns_of(walled, published), 80):
        refuses(netns_of(walled, other), next_door.host, port)
        refuses(netns_of(walled, other), address(walled, published), 80)


def _default_route(netns, gateway):
    command = ["ip", "route", "add", "default", "via", gateway]
    run_in_netns(netns, lambda: subprocess.run(command, check=True))


def test_containers_are_not_reached_directly_from_outside(walled, network, next_door):
    network("one")
    server = run(walled, "one", free_port())
    with (
        listen(netns_of(walled, server), 80),
        listen(netns_of(walled, server), 81),
        route_from_neighbour(next_door, subnet_of(walled, "one")),
    ):
        for port in (80, 81):
            refuses(next_door.netns, address(walled, server), port)


def test_trusted_interfaces_reach_published_ports_directly(walled, network, next_door):
    network("one", {"trusted_host_interfaces": next_door.interface})
    server = run(walled, "one", free_port())
    where = address(walled, server)
    with (
        listen(netns_of(walled, server), 80) as listening,
        listen(netns_of(walled, server), 81),
        route_from_neighbour(next_door, subnet_of(walled, "one")),
    ):
        assert talk(listening, connect(next_door.netns, where, 80)) == next_door.address
        refuses(next_door.netns, where, 81)


def test_an_unprotected_network_is_reached_directly(walled, network, next_door):
    network("open", {"gateway_mode_ipv4": "nat-unprotected"})
    port = free_port()
    server = run(walled, "open", port)
    with (
        listen(netns_of(walled, server), 80) as published,
        listen(netns_of(walled, server), 81) as other,
        route_from_neighbour(next_door, subnet_of(walled, "open")),
    ):
        assert talk(other, connect(next_door.netns, address(walled, server), 81))
        assert talk(published, connect(next_door.netns, next_door.host, port))


def test_a_routed_network(walled, network, next_door):
    network("routed", {"gateway_mode_ipv4": "routed"})
    network("two")
    port = free_port()
    server = run(walled, "routed", port)
    stranger = run(walled, "two")
    where = address(walled, server)
    assert walled.inspect(server)["NetworkSettings"]["Ports"]["80/tcp"] == [
        {"HostIp": "0.0.0.0", "HostPort": ""}
    ]
    (listed,) = [c for c in walled.api.get("/containers/json").json if c["Id"] == server]
    assert {"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp"} in listed["Ports"]
    with (
        listen(netns_of(walled, server), 80) as listening,
        listen(netns_of(walled, server), 81),
        route_from_neighbour(next_door, subnet_of(walled, "routed")),
    ):
        # At its own address, without translation, and only published ports.
        assert talk(listening, connect(next_door.netns, where, 80)) == next_door.address
        assert talk(listening, connect(netns_of(walled, stranger), where, 80))
        refuses(next_door.netns, where, 81)
        refuses(next_door.netns, next_door.host, port)
        with listen(next_door.netns, 80) as outside:
            assert talk(outside, connect(netns_of(walled, server), next_door.address, 80)) == where
        command = ["busybox", "ping", "-c1", "-W2", where]
        ping = run_in_netns(
            next_door.netns, lambda: subprocess.run(command, check=False, capture_output=True)
        )
        assert ping.returncode == 0


def test_a_routed_network_without_the_default_route(walled, network, next_door):
    network("routed", {"gateway_mode_ipv4": "routed"})
    network("two")
    port = free_port()
    server = walled.run(
        *SLEEP,
        host={"NetworkMode": "two", **publish(port)},
        NetworkingConfig={"EndpointsConfig": {"two": {"GwPriority": 1}, "routed": {}}},
    )
    networks = walled.inspect(server)["NetworkSettings"]["Networks"]
    where = networks["routed"]["IPAddress"]
    with (
        listen(netns_of(walled, server), 80) as listening,
        listen(netns_of(walled, server), 81),
        route_from_neighbour(next_door, subnet_of(walled, "routed")),
    ):
        assert talk(listening, connect(next_door.netns, next_door.host, port))
        assert talk(listening, connect(next_door.netns, where, 80)) == next_door.address
        refuses(next_door.netns, where, 81)


def test_networks_without_masquerading_and_with_an_address_of_their_choice(
    walled, network, next_door
):
    network("plain", {"enable_ip_masquerade": "false"})
    network("chosen", Labels={}, options=None)
    container = run(walled, "plain")
    with (
        listen(next_door.netns, 80) as outside,
        route_from_neighbour(next_door, subnet_of(walled, "plain")),
    ):
        client = connect(netns_of(walled, container), next_door.address, 80)
        assert talk(outside, client) == address(walled, container)
        client = connect(netns_of(walled, run(walled, "chosen")), next_door.address, 80)
        assert talk(outside, client) == next_door.host


def test_ports_are_published_where_the_network_says(walled, network, next_door):
    network("bound", {"host_binding_ipv4": "127.0.0.1"})
    port = free_port()
    server = run(walled, "bound", port)
    assert walled.inspect(server)["NetworkSettings"]["Ports"]["80/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": str(port)}
    ]
    with listen(netns_of(walled, server), 80) as listening:
        assert talk(listening, connect(None, "127.0.0.1", port))
        refuses(next_door.netns, next_door.host, port)


def test_containers_on_a_bridge_do_not_reach_the_hosts_loopback(walled, network):
    network("one")
    container = run(walled, "one")
    gateway = walled.api.get("/networks/one").json["IPAM"]["Config"][0]["Gateway"]
    netns = netns_of(walled, container)

    def route():
        subprocess.run(["ip", "address", "flush", "dev", "lo"], check=True)
        subprocess.run(["ip", "route", "add", "127.9.9.9", "via", gateway], check=True)

    run_in_netns(netns, route)
    with listen(None, host="127.9.9.9") as private:
        refuses(netns, "127.9.9.9", private.getsockname()[1])


def test_udp_follows_a_container_that_comes_back(walled, network, next_door):
    """The kernel keeps the conntrack flow of a client that never stops sending."""
    network("one")
    port = free_port(socket.SOCK_DGRAM)
    client = connect(next_door.netns, next_door.host, port, kind=socket.SOCK_DGRAM, timeout=0.2)
    with client:
        for _ in range(2):
            client.send(b"early")  # before a server listens
            with contextlib.suppress(OSError):
                client.recv(10)
            server = run(walled, "one", port, protocol="udp")
            with listen(netns_of(walled, server), 80, kind=socket.SOCK_DGRAM) as listening:
                listening.settimeout(0.2)

                def answered():
                    try:
                        client.send(b"ping")
                        while (found := listening.recvfrom(10))[0] != b"ping":
                            pass
                        listening.sendto(b"pong", found[1])
                        return client.recv(10) == b"pong" and found[1][0] == next_door.address
                    except OSError:
                        return False

                eventually(answered, 5)
            walled.remove(server)
            run(walled, "one")  # takes an address, so that the next container gets another one


def test_the_same_with_ipv6(walled, network):
    body = {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "fd00:231:aa::/64"}]}}
    network("six", **body)
    network("seven", EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd00:231:ab::/64"}]})
    port = free_port()
    server, other, stranger = run(walled, "six", port), run(walled, "six"), run(walled, "seven")
    gateway = next(
        c["Gateway"]
        for c in walled.api.get("/networks/seven").json["IPAM"]["Config"]
        if ":" in c["Gateway"]
    )
    where = address(walled, server, six=True)
    with listen(netns_of(walled, server), 80, host="::") as listening:
        assert talk(listening, connect(netns_of(walled, other), where, 80))
        refuses(netns_of(walled, stranger), where, 80)
        # By an address of the host; the client's address is preserved as far as with Docker.
        assert talk(listening, connect(netns_of(walled, stranger), gateway, port))
        assert talk(listening, connect(None, gateway, port))
    shown = walled.inspect(server)["NetworkSettings"]["Ports"]["80/tcp"]
    assert [binding["HostIp"] for binding in shown] == ["0.0.0.0", "::"]


def test_ipv6_from_outside_at_once_and_with_its_address(walled, network, next_door):
    network("six", EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd00:231:aa::/64"}]})
    port = free_port()
    server = run(walled, "six", port)
    with listen(netns_of(walled, server), 80, host="::") as listening:
        # The kernel would check for a second or two that the address is unique.
        client = connect(next_door.netns, next_door.host6, port, timeout=SILENT)
        assert talk(listening, client) == next_door.address6
        with route_from_neighbour(next_door, "fd00:231:aa::/64"):
            refuses(next_door.netns, address(walled, server, six=True), 80)
    bridge = walled.api.get("/networks/six").json["Id"][:12]
    assert Path(f"/proc/sys/net/ipv6/conf/br-{bridge}/accept_ra").read_text() == "0\n"


def test_a_routed_network_with_ipv6(walled, network, next_door):
    network(
        "routed6",
        {"gateway_mode_ipv6": "routed"},
        EnableIPv6=True,
        IPAM={"Config": [{"Subnet": "fd00:231:ac::/64"}]},
    )
    server = run(walled, "routed6", free_port())
    where = address(walled, server, six=True)
    with (
        listen(netns_of(walled, server), 80, host="::") as listening,
        listen(netns_of(walled, server), 81, host="::"),
        route_from_neighbour(next_door, "fd00:231:ac::/64"),
    ):
        assert talk(listening, connect(next_door.netns, where, 80)) == next_door.address6
        refuses(next_door.netns, where, 81)


def test_leaving_packets_take_the_address_that_was_chosen(walled, network, next_door):
    """``host_ipv4`` and ``host_ipv6`` select one of the host's addresses."""
    other4 = next_door.host.removesuffix(".1") + ".77"
    other6 = next_door.host6 + "77"
    for chosen in (f"{other4}/24", f"{other6}/64"):
        command = ["ip", "address", "replace", chosen, "dev", next_door.interface]
        subprocess.run(command + ["nodad"] * (":" in chosen), check=True)
    prefix = "com.docker.network.host_ipv"
    network("snat", EnableIPv6=True, Options={f"{prefix}4": other4, f"{prefix}6": other6})
    container = run(walled, "snat")
    for own, there, expected in (
        ("0.0.0.0", next_door.address, other4),
        ("::", next_door.address6, other6),
    ):
        with listen(next_door.netns, 80, host=own) as outside:
            assert talk(outside, connect(netns_of(walled, container), there, 80)) == expected


def test_without_a_proxy_clients_that_cannot_be_redirected_are_refused(walled, network):
    network("six", EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd00:231:aa::/64"}]})
    port = free_port()
    run(walled, "six", port)

    def ask():
        with connect(None, "::1", port) as client:
            client.recv(1)

    with pytest.raises(ConnectionError):
        ask()


def test_udp_on_ipv6(walled, network):
    network("six", EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd00:231:aa::/64"}]})
    port = free_port(socket.SOCK_DGRAM)
    server = run(walled, "six", port, protocol="udp")
    (gateway,) = [
        c["Gateway"]
        for c in walled.api.get("/networks/six").json["IPAM"]["Config"]
        if ":" in c["Gateway"]
    ]
    with listen(netns_of(walled, server), 80, kind=socket.SOCK_DGRAM, host="::") as listening:
        assert talk_udp(listening, connect(None, gateway, port, kind=socket.SOCK_DGRAM))
