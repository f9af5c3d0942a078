"""User-defined networks: containers on several of them, connecting and disconnecting."""

import contextlib
import ipaddress
import subprocess

import pytest
from tests.support.crash import exec_output, killed, reboot
from tests.support.network import connect, listen, netns_of, talk
from tests.support.user_networks import (
    SLEEP,
    connect_to,
    disconnect_from,
    interfaces,
    link_exists,
    network,
    networks_of,
    route_of,
    subnet,
)


pytestmark = pytest.mark.root

__all__ = ["network"]


def test_containers_on_a_network_reach_each_other_and_are_listed(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"), Labels={"a": "b"})
    one = engine.run(*SLEEP, name="one", host={"NetworkMode": "alpha"})
    two = engine.run(*SLEEP, name="two", host={"NetworkMode": "alpha"})
    addresses = [networks_of(engine, c)["alpha"]["IPAddress"] for c in (one, two)]
    assert addresses == ["10.232.1.2", "10.232.1.3"]
    assert networks_of(engine, one)["alpha"]["DNSNames"] == ["one", one[:12]]
    with listen(netns_of(engine, one), 80) as server:
        seen = talk(server, connect(netns_of(engine, two), "10.232.1.2", 80))
    assert seen == "10.232.1.3"
    shown = engine.api.get("/networks/alpha").json
    assert shown["Containers"][two]["IPv4Address"] == "10.232.1.3/24"
    assert shown["Status"]["IPAM"]["Subnets"]["10.232.1.0/24"]["IPsInUse"] == 5
    assert link_exists(f"br-{made[:12]}")
    refused = engine.api.delete("/networks/alpha")
    assert refused.status == 403
    assert 'has active endpoints (name:"one"' in refused.json["message"]
    engine.remove_all()
    assert engine.api.delete("/networks/alpha").status == 204
    assert not link_exists(f"br-{made[:12]}")
    assert engine.api.get("/networks/alpha").status == 404


def test_a_container_may_be_on_several_networks_from_the_beginning(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    network("beta", IPAM=subnet("10.232.2.0/24"))
    endpoints = {
        "alpha": {"IPAMConfig": {"IPv4Address": "10.232.1.77"}, "Aliases": ["x"]},
        "beta": {"GwPriority": 1, "MacAddress": "02:42:00:11:22:33"},
    }
    made = engine.run(
        *SLEEP, host={"NetworkMode": "alpha"}, NetworkingConfig={"EndpointsConfig": endpoints}
    )
    assert interfaces(engine, made) == {
        "lo": "127.0.0.1/8", "eth0": "10.232.1.77/24", "eth1": "10.232.2.2/24",
    }  # fmt: skip
    assert route_of(engine, made) == "10.232.2.1"
    assert networks_of(engine, made)["beta"]["MacAddress"] == "02:42:00:11:22:33"
    assert "02:42:00:11:22:33" in exec_output(engine, made, "ip", "link", "show", "eth1")
    hosts = exec_output(engine, made, "cat", "/etc/hosts")
    assert f"10.232.1.77\t{made[:12]}" in hosts
    assert f"10.232.2.2\t{made[:12]}" in hosts


@pytest.mark.parametrize("paused", [False, True])
def test_joining_and_leaving_while_it_runs(engine, network, paused):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    network("beta", IPAM=subnet("10.232.2.0/24"))
    made = engine.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    if paused:
        assert engine.api.post("/containers/web/pause").status == 204
    connect_to(engine, "beta", "web", GwPriority=7)
    assert "already exists in network beta" in connect_to(engine, "beta", "web", 403)
    assert networks_of(engine, "web")["beta"]["IPAddress"] == "10.232.2.2"
    disconnect_from(engine, "alpha", "web")
    assert "is not connected to network alpha" in disconnect_from(engine, "alpha", "web", 500)
    assert list(networks_of(engine, "web")) == ["beta"]
    if paused:
        assert engine.api.post("/containers/web/unpause").status == 204
    assert interfaces(engine, made) == {"lo": "127.0.0.1/8", "eth1": "10.232.2.2/24"}
    assert route_of(engine, made) == "10.232.2.1"
    hosts = exec_output(engine, made, "cat", "/etc/hosts")
    assert "10.232.1.2" not in hosts
    assert "10.232.2.2" in hosts


def test_joining_and_leaving_while_it_is_stopped_counts_at_the_next_start(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    network("beta", IPAM=subnet("10.232.2.0/24"))
    made = engine.create(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    connect_to(engine, "beta", "web", IPAMConfig={"IPv4Address": "10.232.2.9"})
    disconnect_from(engine, "alpha", "web")
    assert engine.api.post("/containers/web/start").status == 204
    assert interfaces(engine, made) == {"lo": "127.0.0.1/8", "eth0": "10.232.2.9/24"}


def test_a_stopped_container_can_be_taken_off_a_network_that_is_gone(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.create(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    network("beta", IPAM=subnet("10.232.2.0/24"))
    connect_to(engine, "beta", "web")
    assert engine.api.delete(f"/networks/{made}").status == 204
    answer = engine.api.post("/containers/web/start")
    assert answer.status == 404
    assert answer.json["message"] == (
        "failed to set up container networking: network alpha not found"
    )
    disconnect_from(engine, "alpha", "web")
    assert "is not connected to the network alpha" in disconnect_from(engine, "alpha", "web", 500)
    assert engine.api.post("/containers/web/start").status == 204
    assert list(networks_of(engine, "web")) == ["beta"]


def test_addresses_are_refused_where_they_are_taken_or_wrong(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.run(*SLEEP, name="web")
    taken = {"IPAMConfig": {"IPv4Address": "10.232.1.1"}}
    assert connect_to(engine, "alpha", "web", 403, **taken) == "Address already in use"
    outside = {"IPAMConfig": {"IPv4Address": "10.9.9.9"}}
    assert "no configured subnet contains" in connect_to(engine, "alpha", "web", 400, **outside)
    assert list(networks_of(engine, "web")) == ["bridge"]
    assert engine.api.get("/networks/alpha").json["Containers"] == {}


def test_ipv6_networks_have_addresses_of_their_own(engine, network):
    network("six", EnableIPv6=True)
    made = engine.run(*SLEEP, host={"NetworkMode": "six"})
    shown = networks_of(engine, made)["six"]
    pools = engine.api.get("/networks/six").json["IPAM"]["Config"]
    assert [ipaddress.ip_network(p["Subnet"]).version for p in pools] == [4, 6]
    assert ipaddress.ip_address(shown["GlobalIPv6Address"]) in ipaddress.ip_network("fd00::/8")
    assert shown["IPv6Gateway"] == pools[1]["Gateway"]
    text = exec_output(engine, made, "ip", "-6", "addr", "show", "eth0")
    assert shown["GlobalIPv6Address"] in text
    assert exec_output(engine, made, "ping", "-6", "-c1", "-W2", shown["IPv6Gateway"])


def test_networks_outlive_engine_and_machine(own_engine):
    engine = own_engine
    body = {"Name": "alpha", "IPAM": subnet("10.232.3.0/24"), "Options": {"x": "y"}}
    made = engine.api.post("/networks/create", body).json["Id"]
    container = engine.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    before = engine.api.get("/networks/alpha").json
    with killed(engine):
        subprocess.run(["ip", "link", "delete", f"br-{made[:12]}"], check=True)
    assert engine.api.get("/networks/alpha").json == before
    assert "0% packet loss" in exec_output(engine, container, "ping", "-c1", "10.232.3.1")
    reboot(engine)
    subprocess.run(["ip", "link", "delete", f"br-{made[:12]}"], check=True)
    engine.start()
    assert engine.api.get("/networks/alpha").json["Containers"] == {}
    assert engine.api.post("/containers/web/start").status == 204
    assert networks_of(engine, "web")["alpha"]["IPAddress"] == "10.232.3.2"


def test_connections_continue_while_the_engine_is_stopped(own_engine):
    engine = own_engine
    engine.api.post("/networks/create", {"Name": "alpha", "IPAM": subnet("10.232.3.0/24")})
    one, two = (engine.run(*SLEEP, host={"NetworkMode": "alpha"}) for _ in range(2))
    with listen(netns_of(engine, one), 80) as server:
        client = connect(netns_of(engine, two), "10.232.3.2", 80)
        peer, _ = server.accept()
        with client, peer:
            for _ in range(2):
                with killed(engine):
                    client.sendall(b"away")
                    assert peer.recv(9) == b"away"
                client.sendall(b"back")
                assert peer.recv(9) == b"back"


def test_a_foreign_bridge_is_used_and_not_removed(engine, network):
    name = "pt-foreign0"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        network(
            "foreign", IPAM=subnet("10.232.4.0/24"),
            Options={"com.docker.network.bridge.name": name},
        )  # fmt: skip
        engine.run(*SLEEP, host={"NetworkMode": "foreign"})
        shown = subprocess.run(["ip", "addr", "show", name], check=True, capture_output=True).stdout
        assert b"10.232.4.1/24" in shown
        engine.remove_all()
        assert engine.api.delete("/networks/foreign").status == 204
        shown = subprocess.run(["ip", "addr", "show", name], check=True, capture_output=True).stdout
        assert b"10.232.4.1/24" not in shown
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["ip", "link", "delete", name], check=True)
