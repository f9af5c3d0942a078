"""Directives about networks, and the networks that every engine has."""

import ipaddress
import json
import time

import pytest
from tests.support.crash import exec_output
from tests.support.engine import TestEngine
from tests.support.user_networks import (
    SLEEP,
    connect_to,
    disconnect_from,
    interfaces,
    link_exists,
    network,
    networks_of,
    subnet,
)


pytestmark = pytest.mark.root

__all__ = ["network"]


@pytest.fixture(scope="module")
def six():
    """Yield an engine with IPv6 in its default network, and address pools of its own."""
    engine = TestEngine(
        "--ipv6", "--fixed-cidr-v6=fd00:240:1::/64",
        "--default-address-pool=base=10.240.0.0/16,size=24",
        "--default-address-pool=base=fd00:240:2::/48,size=64",
        "--default-network-opt=bridge=com.docker.network.driver.mtu=1400",
    )  # fmt: skip
    engine.start()
    engine.load_image()
    yield engine
    engine.close()


def test_the_default_network_has_ipv6_if_configured(six):
    made = six.run(*SLEEP)
    shown = networks_of(six, made)["bridge"]
    assert ipaddress.ip_address(shown["GlobalIPv6Address"]) in ipaddress.ip_network(
        "fd00:240:1::/64"
    )
    assert shown["IPv6Gateway"] == "fd00:240:1::1"
    assert " 0% packet loss" in exec_output(six, made, "ping", "-c1", "-W2", shown["IPv6Gateway"])
    config = six.api.get("/networks/bridge").json
    assert config["EnableIPv6"]
    assert config["IPAM"]["Config"][1] == {
        "Subnet": "fd00:240:1::/64", "IPRange": "fd00:240:1::/64", "Gateway": "fd00:240:1::1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nosuch0", "nosuch0 must be created manually"), ("lo", "lo is not a bridge")],
)
def test_a_bridge_that_the_directive_names_must_exist(name, reason):
    engine = TestEngine(f"--bridge={name}")
    with pytest.raises(AssertionError, match=reason) as failed:
        engine.start()
    assert "Traceback" not in str(failed.value)
    assert not link_exists("nosuch0")


def test_networks_get_their_subnets_from_the_pools(six):
    made = six.api.post("/networks/create", {"Name": "alpha", "EnableIPv6": True}).json["Id"]
    try:
        config = six.api.get("/networks/alpha").json
        subnets = [ipaddress.ip_network(c["Subnet"]) for c in config["IPAM"]["Config"]]
        assert [s.prefixlen for s in subnets] == [24, 64]
        assert subnets[0].network_address in ipaddress.ip_network("10.240.0.0/16")
        assert subnets[1].network_address in ipaddress.ip_network("fd00:240:2::/48")
        assert config["Options"] == {"com.docker.network.driver.mtu": "1400"}
        container = six.run(*SLEEP, host={"NetworkMode": "alpha"})
        assert "mtu 1400" in exec_output(six, container, "ip", "link", "show", "eth0")
        # The default network's subnet comes from these pools too.
        assert six.api.get("/networks/bridge").json["IPAM"]["Config"][0]["Subnet"] in {
            f"10.240.{n}.0/24" for n in range(2)
        }
    finally:
        six.remove_all()
        assert six.api.delete(f"/networks/{made}").status == 204


def test_exhausted_pools_are_an_error(network):
    network("all", IPAM=subnet("10.0.0.0/8"))
    network("more", IPAM=subnet("172.16.0.0/12"), status=403)  # the default network uses it
    said = network("huge", 400, IPAM=subnet("0.0.0.0/4"))
    assert said == "invalid address pool"


def test_exhausted_addresses_are_an_error_until_one_is_released(engine, network):
    made = network("tiny", IPAM=subnet("10.232.9.0/30"))
    host = {"NetworkMode": "tiny"}
    first = engine.run(*SLEEP, host=host)
    second = engine.create(*SLEEP, host=host)
    answer = engine.api.post(f"/containers/{second}/start")
    assert answer.status == 500
    assert answer.json["message"] == (
        "failed to set up container networking: no available IPv4 addresses on this network's"
        f" address pools: tiny ({made})"
    )
    engine.remove(first)
    assert engine.api.post(f"/containers/{second}/start").status == 204


def test_the_hosts_network_lists_its_containers(engine):
    made = engine.run(*SLEEP, name="web", host={"NetworkMode": "host"})
    shown = engine.api.get("/networks/host").json["Containers"]
    assert shown == {
        made: {
            "Name": "web", "EndpointID": networks_of(engine, made)["host"]["EndpointID"],
            "MacAddress": "", "IPv4Address": "", "IPv6Address": "",
        }
    }  # fmt: skip
    assert "cannot disconnect container from host network" in disconnect_from(
        engine, "host", made, 400
    )
    assert "cannot be connected to any other network" in connect_to(engine, "bridge", made, 400)
    engine.remove(made)
    assert engine.api.get("/networks/host").json["Containers"] == {}


def test_without_ipv6_an_interface_has_no_address_of_it(engine):
    made = engine.run(*SLEEP)
    assert exec_output(engine, made, "ip", "-6", "addr", "show", "eth0") == ""
    assert "eth0" in interfaces(engine, made)


def test_link_local_addresses_are_added(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.run(*SLEEP, name="web")
    connect_to(engine, "alpha", "web", IPAMConfig={"LinkLocalIPs": ["169.254.34.68"]})
    assert "169.254.34.68/16" in exec_output(engine, "web", "ip", "addr", "show", "eth1")
    engine.run(*SLEEP, name="other")
    wrong = {"IPAMConfig": {"LinkLocalIPs": ["10.1.2.3"]}}
    said = connect_to(engine, "alpha", "other", 400, **wrong)
    assert said == "invalid link local IP address: 10.1.2.3"


def test_events_tell_what_becomes_of_a_network(engine, network):
    began = time.time()
    made = network("alpha")
    engine.run(*SLEEP, name="web")
    connect_to(engine, "alpha", "web")
    disconnect_from(engine, "alpha", "web")
    assert engine.api.delete("/networks/alpha").status == 204
    body = engine.api.get(f"/events?since={began:.6f}&until={time.time():.6f}").body
    found = [
        (event["Action"], event["Actor"]["Attributes"])
        for event in map(json.loads, body.splitlines())
        if event["Type"] == "network" and event["Actor"]["ID"] == made
    ]
    names = {"name": "alpha", "type": "bridge"}
    web = {**names, "container": engine.inspect("web")["Id"]}
    assert found == [
        ("create", names), ("connect", web), ("disconnect", web), ("destroy", names),
    ]  # fmt: skip


def test_modes_of_the_gateway_decide_on_addresses_of_the_bridge(engine, network):
    network(
        "isolated", Internal=True, IPAM=subnet("10.232.1.0/24"),
        Options={"com.docker.network.bridge.gateway_mode_ipv4": "isolated"},
    )  # fmt: skip
    assert engine.api.get("/networks/isolated").json["IPAM"]["Config"] == [
        {"Subnet": "10.232.1.0/24"}
    ]
    made = engine.run(*SLEEP, host={"NetworkMode": "isolated"})
    assert interfaces(engine, made)["eth0"] == "10.232.1.1/24"
    said = network(
        "open", 400, IPAM=subnet("10.232.2.0/24"),
        Options={"com.docker.network.bridge.gateway_mode_ipv4": "isolated"},
    )  # fmt: skip
    assert said == "gateway mode 'isolated' can only be used for an internal network"


def test_interfaces_in_containers_may_be_called_otherwise(engine, network):
    network("alpha", Options={"com.docker.network.container_iface_prefix": "lan"})
    made = engine.run(*SLEEP, host={"NetworkMode": "alpha"})
    assert "lan0" in interfaces(engine, made)


@pytest.mark.parametrize(
    ("mode", "other", "words"),
    [
        ("host", "bridge", "cannot be connected to any other network"),
        ("bridge", "host", "container must be created in host network mode"),
    ],
)
def test_networks_that_do_not_go_together_are_refused(engine, mode, other, words):
    body = {
        "Image": "busybox", "HostConfig": {"NetworkMode": mode},
        "NetworkingConfig": {"EndpointsConfig": {other: {}}},
    }  # fmt: skip
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert words in answer.json["message"]


def test_reset_takes_the_interfaces_of_networks_away():
    engine = TestEngine()
    engine.start()
    made = engine.api.post("/networks/create", {"Name": "alpha"}).json["Id"]
    assert link_exists(f"br-{made[:12]}")
    engine.close()
    assert not link_exists(f"br-{made[:12]}")
