"""Networks: addresses, translation, published ports and reachability, with real packets."""

import ipaddress
import re
import socket
import subprocess
from pathlib import Path

import pytest
from tests.support.crash import assert_same_footprint, settled_footprint
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


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")


@pytest.fixture(scope="module")
def next_door():
    with neighbour() as machine:
        yield machine


@pytest.fixture(scope="module")
def odd_engine():
    """Yield an engine with unusual settings of its default network."""
    engine = TestEngine(
        "--bip=10.231.40.1/24", "--fixed-cidr=10.231.40.128/26", "--icc=false",
        "--ip-masq=false", "--mtu=1400", "--ip=127.0.0.1",
    )  # fmt: skip
    engine.start()
    engine.load_image()
    yield engine
    engine.close()


def publish(*bindings, protocol="tcp", inner=80):
    """Return a host configuration that publishes the inner port at each ``(ip, port)``."""
    return {
        "PortBindings": {
            f"{inner}/{protocol}": [{"HostIp": ip, "HostPort": str(port)} for ip, port in bindings]
        }
    }


def network_of(engine, container):
    return engine.inspect(container)["NetworkSettings"]["Networks"]["bridge"]


# ---- addresses -----------------------------------------------------------------------


def test_every_container_has_an_address_of_the_default_network(engine):
    (config,) = engine.api.get("/networks/bridge").json["IPAM"]["Config"]
    subnet = ipaddress.ip_network(config["Subnet"])
    found = [network_of(engine, engine.run(*SLEEP)) for _ in range(2)]
    assert len({network["IPAddress"] for network in found}) == 2
    for network in found:
        address = ipaddress.ip_address(network["IPAddress"])
        assert address in subnet
        assert network["Gateway"] == config["Gateway"]
        assert network["IPPrefixLen"] == subnet.prefixlen
        assert network["MacAddress"] == "02:42:" + address.packed.hex(":")
        assert re.fullmatch(r"[0-9a-f]{64}", network["EndpointID"])
    shown = engine.api.get("/networks/bridge").json
    assert {c["IPv4Address"] for c in shown["Containers"].values()} == {
        f"{network['IPAddress']}/{subnet.prefixlen}" for network in found
    }
    assert shown["Status"]["IPAM"]["Subnets"][str(subnet)]["IPsInUse"] == 5


def test_inside_it_is_as_inspect_says(engine):
    text = engine.output("sh", "-c", "ip -4 addr show eth0; ip route; cat /sys/class/net/eth0/mtu")
    (config,) = engine.api.get("/networks/bridge").json["IPAM"]["Config"]
    assert f"default via {config['Gateway']} dev eth0" in text
    assert re.search(rf"inet [\d.]+/{config['Subnet'].split('/')[1]} ", text)
    assert text.endswith("1500\n")


def test_an_address_is_free_again(engine):
    before = engine.api.get("/networks/bridge").json["Status"]
    container = engine.run(*SLEEP)
    assert engine.api.get("/networks/bridge").json["Status"] != before
    engine.remove(container)
    assert engine.api.get("/networks/bridge").json["Status"] == before
    assert engine.api.get("/networks/bridge").json["Containers"] == {}


def test_a_hardware_address_that_is_asked_for(engine):
    mac = "02:42:00:00:be:ef"
    container = engine.run(
        *SLEEP, NetworkingConfig={"EndpointsConfig": {"bridge": {"MacAddress": mac}}}
    )
    assert network_of(engine, container)["MacAddress"] == mac


# ---- reachability --------------------------------------------------------------------


def test_containers_reach_each_other_and_the_host(engine):
    first, second = engine.run(*SLEEP), engine.run(*SLEEP)
    address = network_of(engine, first)["IPAddress"]
    with listen(netns_of(engine, first), 80) as server:
        peer = talk(server, connect(netns_of(engine, second), address, 80))
        assert peer == network_of(engine, second)["IPAddress"]
        assert talk(server, connect(None, address, 80)) == network_of(engine, first)["Gateway"]
    with listen(None) as server:
        gateway = network_of(engine, first)["Gateway"]
        port = server.getsockname()[1]
        assert talk(server, connect(netns_of(engine, first), gateway, port)) == address


def test_the_world_sees_the_hosts_address(engine, next_door):
    container = engine.run(*SLEEP)
    with listen(next_door.netns, 80) as server:
        client = connect(netns_of(engine, container), next_door.address, 80)
        assert talk(server, client) == next_door.host
    with listen(next_door.netns, 53, kind=socket.SOCK_DGRAM) as server:
        client = connect(netns_of(engine, container), next_door.address, 53, kind=socket.SOCK_DGRAM)
        assert talk_udp(server, client) == next_door.host


def test_the_world_reaches_nothing_that_is_not_published(engine, next_door):
    container = engine.run(*SLEEP)
    address = network_of(engine, container)["IPAddress"]
    (config,) = engine.api.get("/networks/bridge").json["IPAM"]["Config"]
    next_door.add_route(config["Subnet"])
    with listen(netns_of(engine, container), 80), pytest.raises(TimeoutError):
        connect(next_door.netns, address, 80, timeout=0.3)


# ---- published ports -----------------------------------------------------------------


def test_a_published_port_from_everywhere(engine, next_door):
    port = free_port()
    container = engine.run(*SLEEP, host=publish(("", port)))
    other = engine.run(*SLEEP)
    network = network_of(engine, container)
    with listen(netns_of(engine, container), 80) as server:
        # The client's address is preserved where packets are only redirected ...
        assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address
        # ... and is translated to one that the container can reach where it must be.
        assert talk(server, connect(None, "127.0.0.1", port)) == network["Gateway"]
        assert talk(server, connect(None, next_door.host, port))
        assert talk(server, connect(None, network["Gateway"], port))
        if socket.has_ipv6:
            assert talk(server, connect(None, "::1", port)) == network["Gateway"]
        # From another container, and from the container itself, by way of the host.
        for client in (other, container):
            for address in (network["Gateway"], next_door.host):
                assert talk(server, connect(netns_of(engine, client), address, port))
    shown = engine.inspect(container)["NetworkSettings"]["Ports"]["80/tcp"]
    assert shown[0] == {"HostIp": "0.0.0.0", "HostPort": str(port)}
    engine.remove(container)
    with pytest.raises(ConnectionRefusedError):
        connect(next_door.netns, next_door.host, port)


def test_a_published_udp_port(engine, next_door):
    port = free_port(socket.SOCK_DGRAM)
    container = engine.run(*SLEEP, host=publish(("", port), protocol="udp"))
    with listen(netns_of(engine, container), 80, kind=socket.SOCK_DGRAM) as server:
        for netns, host in ((next_door.netns, next_door.host), (None, "127.0.0.1")):
            peer = talk_udp(server, connect(netns, host, port, kind=socket.SOCK_DGRAM))
            assert (peer == next_door.address) is (netns is not None)


def test_a_port_published_at_one_address_is_not_at_another(engine, next_door):
    port = free_port()
    container = engine.run(*SLEEP, host=publish(("127.0.0.1", port)))
    with listen(netns_of(engine, container), 80) as server:
        assert talk(server, connect(None, "127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            connect(next_door.netns, next_door.host, port)


def test_two_addresses_share_a_port(engine, next_door):
    port = free_port()
    first = engine.run(*SLEEP, host=publish(("127.0.0.1", port)))
    second = engine.run(*SLEEP, host=publish((next_door.host, port)))
    with listen(netns_of(engine, first), 80) as one, listen(netns_of(engine, second), 80) as two:
        assert talk(one, connect(None, "127.0.0.1", port))
        assert talk(two, connect(next_door.netns, next_door.host, port)) == next_door.address


def test_any_free_port(engine):
    container = engine.run(
        *SLEEP, host=publish(("", "")), ExposedPorts={"80/tcp": {}, "81/tcp": {}}
    )
    ports = engine.inspect(container)["NetworkSettings"]["Ports"]
    assert ports["81/tcp"] is None
    port = int(ports["80/tcp"][0]["HostPort"])
    assert port >= 32768
    with listen(netns_of(engine, container), 80) as server:
        assert talk(server, connect(None, "127.0.0.1", port))


def test_publish_all(engine):
    container = engine.run(
        *SLEEP, host={"PublishAllPorts": True}, ExposedPorts={"80/tcp": {}, "53/udp": {}}
    )
    ports = engine.inspect(container)["NetworkSettings"]["Ports"]
    assert all(ports[key][0]["HostPort"] for key in ("80/tcp", "53/udp"))


@pytest.mark.parametrize("by", ["a container", "a program"])
def test_a_port_in_use_is_an_error_and_leaves_nothing_behind(engine, by):
    port = free_port()
    if by == "a container":
        engine.run(*SLEEP, host=publish(("", port)))
        reason = f"Bind for 0.0.0.0:{port} failed: port is already allocated"
    else:
        holder = listen(None, port)
        reason = f"failed to bind host port 0.0.0.0:{port}/tcp: address already in use"
    container = engine.create(*SLEEP, name="late", host=publish(("", port)))
    before = settled_footprint(engine)
    answer = engine.api.post(f"/containers/{container}/start")
    assert answer.status == 500
    assert re.fullmatch(
        r"failed to set up container networking: driver failed programming external connectivity"
        r" on endpoint late \([0-9a-f]{64}\): " + re.escape(reason),
        answer.message,
    )
    assert_same_footprint(engine, before)
    assert not engine.inspect(container)["State"]["Running"]
    if by == "a program":
        holder.close()
        assert engine.api.post(f"/containers/{container}/start").status == 204


def test_a_port_is_free_again_when_its_container_ends(engine):
    port = free_port()
    container = engine.run("true", host=publish(("", port)))
    engine.wait(container)
    with listen(None, port):
        pass
    assert engine.inspect(container)["NetworkSettings"]["Ports"] == {}


# ---- other modes ---------------------------------------------------------------------


def test_no_network(engine):
    text = engine.output("ip", "-o", "link", host={"NetworkMode": "none"})
    assert [line.split(": ")[1] for line in text.splitlines()] == ["lo"]
    assert "UP" in text
    container = engine.run(*SLEEP, host={"NetworkMode": "none"})
    shown = engine.inspect(container)["NetworkSettings"]["Networks"]
    assert list(shown) == ["none"]
    assert shown["none"]["IPAddress"] == ""
    assert container in engine.api.get("/networks/none").json["Containers"]


def test_the_hosts_network(engine):
    container = engine.run(*SLEEP, host={"NetworkMode": "host"})
    assert netns_of(engine, container).stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    assert list(engine.inspect(container)["NetworkSettings"]["Networks"]) == ["host"]


def test_anothers_network(engine):
    owner = engine.run(*SLEEP, name="owner")
    guest = engine.run(*SLEEP, host={"NetworkMode": "container:owner"})
    assert netns_of(engine, guest).stat().st_ino == netns_of(engine, owner).stat().st_ino
    shown = engine.inspect(guest)
    assert shown["NetworkSettings"]["Networks"] == {}
    assert shown["HostConfig"]["NetworkMode"] == f"container:{owner}"
    with listen(netns_of(engine, owner), 80, host="127.0.0.1") as server:
        assert talk(server, connect(netns_of(engine, guest), "127.0.0.1", 80)) == "127.0.0.1"


def test_anothers_network_that_is_not_there(engine):
    engine.create(*SLEEP, name="owner")
    guest = engine.create(*SLEEP, host={"NetworkMode": "container:owner"})
    answer = engine.api.post(f"/containers/{guest}/start")
    assert answer.status in (409, 500)
    assert "cannot join network namespace of a non running container" in answer.message


# ---- directives ----------------------------------------------------------------------


def test_the_default_network_is_as_configured(odd_engine):
    shown = odd_engine.api.get("/networks/bridge").json
    assert shown["IPAM"]["Config"] == [
        {"Subnet": "10.231.40.0/24", "IPRange": "10.231.40.128/26", "Gateway": "10.231.40.1"}
    ]
    options = shown["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"
    assert options["com.docker.network.driver.mtu"] == "1400"
    container = odd_engine.run(*SLEEP)
    address = ipaddress.ip_address(network_of(odd_engine, container)["IPAddress"])
    assert address in ipaddress.ip_network("10.231.40.128/26")
    assert network_of(odd_engine, container)["IPPrefixLen"] == 24
    assert odd_engine.output("cat", "/sys/class/net/eth0/mtu") == "1400\n"
    odd_engine.remove_all()


def test_containers_that_may_not_talk(odd_engine):
    port = free_port()
    first = odd_engine.run(*SLEEP, host=publish(("0.0.0.0", port)))
    second = odd_engine.run(*SLEEP)
    network = network_of(odd_engine, first)
    with listen(netns_of(odd_engine, first), 80) as server:
        with pytest.raises(TimeoutError):
            connect(netns_of(odd_engine, second), network["IPAddress"], 80, timeout=0.3)
        assert talk(server, connect(None, network["IPAddress"], 80))
        # Published ports are reachable by all.
        assert talk(server, connect(netns_of(odd_engine, second), network["Gateway"], port))
    odd_engine.remove_all()


def test_without_masquerading_the_containers_own_address_is_seen(odd_engine, next_door):
    next_door.add_route("10.231.40.0/24")
    container = odd_engine.run(*SLEEP)
    with listen(next_door.netns, 80) as server:
        client = connect(netns_of(odd_engine, container), next_door.address, 80)
        assert talk(server, client) == network_of(odd_engine, container)["IPAddress"]
    odd_engine.remove_all()


def test_ports_are_published_at_the_default_address(odd_engine, next_door):
    port = free_port()
    container = odd_engine.run(*SLEEP, host=publish(("", port)))
    ports = odd_engine.inspect(container)["NetworkSettings"]["Ports"]["80/tcp"]
    assert ports == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    with pytest.raises(ConnectionRefusedError):
        connect(next_door.netns, next_door.host, port)
    odd_engine.remove_all()


def test_without_a_default_network():
    engine = TestEngine("--bridge=none")
    engine.start()
    try:
        engine.load_image()
        assert subprocess.run(
            ["ip", "link", "show", engine.config.bridge_name], check=False, capture_output=True
        ).returncode
        names = [network["Name"] for network in engine.api.get("/networks").json]
        assert sorted(names) == ["host", "none"]
        assert engine.api.get("/networks/bridge").status == 404
        container = engine.run(*SLEEP)
        assert list(engine.inspect(container)["NetworkSettings"]["Networks"]) == ["none"]
        for mode in ("default", "bridge"):
            links = engine.output("ip", "-o", "link", host={"NetworkMode": mode})
            assert [line.split(": ")[1] for line in links.splitlines()] == ["lo"]
    finally:
        engine.close()


# ---- the API's answers ---------------------------------------------------------------


def test_the_networks_that_every_engine_has(engine):
    found = {network["Name"]: network for network in engine.api.get("/networks").json}
    assert {name: n["Driver"] for name, n in found.items()} == {
        "bridge": "bridge", "host": "host", "none": "null",
    }  # fmt: skip
    for network in found.values():
        assert network["Scope"] == "local"
        for reference in (network["Id"], network["Id"][:12], network["Name"]):
            shown = engine.api.get(f"/networks/{reference}").json
            assert {key: shown[key] for key in network} == network
            assert shown["Containers"] == {}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ('{"name":["o"]}', ["host", "none"]),
        ('{"driver":["bridge"]}', ["bridge"]),
        ('{"type":["builtin"]}', ["bridge", "host", "none"]),
        ('{"type":["custom"]}', []),
        ('{"scope":["swarm"]}', []),
        ('{"label":["x"]}', []),
        ('{"dangling":["true"]}', []),
    ],
)
def test_filters(engine, filters, names):
    found = engine.api.get(f"/networks?filters={filters}").json
    assert sorted(network["Name"] for network in found) == names


def test_refusals(engine):
    for name in ("bridge", "host", "none"):
        answer = engine.api.delete(f"/networks/{name}")
        assert answer.status == 403
        assert answer.message == f"{name} is a pre-defined network and cannot be removed"
    assert engine.api.get("/networks/absent").status == 404
    assert engine.api.get("/networks/absent").message == "network absent not found"
    assert engine.api.delete("/networks/absent").status == 404
    assert engine.api.get('/networks?filters={"bogus":["x"]}').status == 400
    assert engine.api.get('/networks?filters={"type":["bogus"]}').status == 400


def test_prune_takes_none_of_them(engine):
    answer = engine.api.post("/networks/prune")
    assert (answer.status, answer.json) == (200, {"NetworksDeleted": None})
    assert len(engine.api.get("/networks").json) == 3


def test_the_networks_keep_their_ids_and_order(own_engine):
    before = own_engine.api.get("/networks").json
    own_engine.stop()
    own_engine.start()
    assert own_engine.api.get("/networks").json == before


def test_deleted_rules_are_restored(engine, next_door):
    ports = [free_port(), free_port()]
    table = engine.config.table_name
    earlier = engine.run(*SLEEP, host=publish(("", ports[0])))
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    later = engine.run(*SLEEP, host=publish(("", ports[1])))
    for container, port in zip((earlier, later), ports, strict=True):
        with listen(netns_of(engine, container), 80) as server:
            # The client's address proves that the packets were redirected, not proxied.
            assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    for container in (earlier, later):
        assert engine.api.delete(f"/containers/{container}?force=1").status == 204
    again = engine.run(*SLEEP, host=publish(("", ports[0])))
    with listen(netns_of(engine, again), 80) as server:
        assert talk(server, connect(next_door.netns, next_door.host, ports[0]))
