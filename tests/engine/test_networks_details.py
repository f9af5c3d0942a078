"""Networks in detail: unusual requests handled as by dockerd, and refusals in its words."""

import subprocess
from functools import partial
from ipaddress import ip_network

import pytest
from tests.support.crash import eventually, exec_output
from tests.support.network import connect, listen, netns_of, talk
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

from palan.engine.networks.host_subnets import host_networks


pytestmark = pytest.mark.root

__all__ = ["network"]


def test_a_container_is_on_the_networks_of_its_endpoints_only(engine, network):
    for name, addresses in (("alpha", "10.232.1.0/24"), ("beta", "10.232.2.0/24")):
        network(name, IPAM=subnet(addresses))
    for mode in ("default", "bridge", "alpha"):
        made = engine.run(
            *SLEEP, host={"NetworkMode": mode},
            NetworkingConfig={"EndpointsConfig": {"beta": {"Aliases": ["b"]}}},
        )  # fmt: skip
        assert list(networks_of(engine, made)) == ["beta"]
        assert interfaces(engine, made).keys() == {"lo", "eth0"}
        engine.remove(made)


def test_a_stopped_container_remembers_the_id_of_a_network_that_is_gone(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"))
    container = engine.run(*SLEEP, host={"NetworkMode": "alpha"})
    assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
    assert engine.api.delete(f"/networks/{made}").status == 204
    assert networks_of(engine, container)["alpha"]["NetworkID"] == made


def test_a_running_container_is_taken_off_a_network_that_is_gone_by_force(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"))
    network("beta", IPAM=subnet("10.232.2.0/24"))
    engine.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    assert "not found" in disconnect_from(engine, "gone", "web", 404)
    for name in ("gone", "beta"):
        said = disconnect_from(engine, name, "web", 500, Force=True)
        assert "is not connected to" in said
    assert engine.api.delete(f"/networks/{made}").status == 403


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"ifname": "x" * 16}, 400, "at most 15 bytes"),
        ({"ifname": "a/b"}, 400, "no /, :, % or space"),
        ({"ifname": "lo"}, 409, "file exists"),
        ({"sysctls": "net.ipv4.conf.IFNAME.nonesuch=1"}, 400, "eth0/nonesuch is not a sysctl file"),
        ({"sysctls": "net.ipv4.conf.IFNAME.log_martians=x"}, 400, "unable to write to"),
    ],
)
def test_impossible_settings_of_interfaces_are_the_callers_mistake(
    engine, network, options, status, words
):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.run(*SLEEP, name="web")
    given = {f"com.docker.network.endpoint.{key}": value for key, value in options.items()}
    given = {key: value.replace("eth0", "eth1") for key, value in given.items()}
    words = words.replace("eth0", "eth1")
    assert words in connect_to(engine, "alpha", "web", status, DriverOpts=given)
    assert list(networks_of(engine, "web")) == ["bridge"]
    assert interfaces(engine, "web").keys() == {"lo", "eth0"}
    assert engine.api.get("/networks/alpha").json["Containers"] == {}


def test_a_requested_interface_name_is_reserved(engine, network):
    for name, addresses in (("alpha", "10.232.1.0/24"), ("beta", "10.232.2.0/24")):
        network(name, IPAM=subnet(addresses))
    options = {"com.docker.network.endpoint.ifname": "eth0"}
    made = engine.run(
        *SLEEP, host={"NetworkMode": "alpha"},
        NetworkingConfig={"EndpointsConfig": {"alpha": {}, "beta": {"DriverOpts": options}}},
    )  # fmt: skip
    found = interfaces(engine, made)
    assert found["eth0"].startswith("10.232.2.")
    assert found["eth1"].startswith("10.232.1.")


def test_lists_below_1_28_have_the_containers_of_a_network(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    made = engine.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    listed = {n["Name"]: n for n in engine.api.at("1.27").get("/networks").json}
    assert listed["alpha"]["Containers"][made]["Name"] == "web"
    assert listed["alpha"]["Containers"][made]["IPv4Address"] == "10.232.1.2/24"
    assert listed["bridge"]["Containers"] == {}
    assert all("Containers" not in n for n in engine.api.at("1.28").get("/networks").json)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Name": "default"}, 403, "operation is not permitted on predefined default network"),
        (
            {"Name": "x", "EnableIPv6": True, "IPAM": subnet("ff02::/64")},
            400,
            "multicast subnet 'ff02::1/64' is not allowed",
        ),
        (
            {"Name": "x", "IPAM": subnet("10.232.1.0/24", AuxiliaryAddresses={"a": "10.232.1.1"})},
            400,
            "failed to allocate secondary ip address (a:10.232.1.1): Address already in use",
        ),
    ],
)
def test_networks_that_can_not_be_are_refused(engine, body, status, words):
    answer = engine.api.post("/networks/create", body)
    assert (answer.status, words in answer.json["message"]) == (status, True), answer.body
    assert engine.api.get(f"/networks/{body['Name']}").status == 404


def test_the_first_part_of_a_host_name_is_a_name_too(engine):
    made = engine.run(*SLEEP, Hostname="my.long.host")
    assert "\tmy.long.host my\n" in exec_output(engine, made, "cat", "/etc/hosts")


def test_links_on_user_networks_may_name_later_containers(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    made = engine.run(*SLEEP, host={"NetworkMode": "alpha", "Links": ["later:db"]})
    engine.run(*SLEEP, name="later", host={"NetworkMode": "alpha"})
    assert "10.232.1.3" in exec_output(engine, made, "nslookup", "db")


def test_a_container_with_an_odd_hosts_file_can_connect_and_disconnect(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    engine.run(*SLEEP, name="web")
    script = r"printf 'a\377\r\n\302\205 b\n' > /etc/hosts; printf '\377' > /etc/resolv.conf"
    exec_output(engine, "web", "sh", "-c", script)
    connect_to(engine, "alpha", "web")
    disconnect_from(engine, "alpha", "web")
    assert exec_output(engine, "web", "hexdump", "-ve", '1/1 "%02x"', "/etc/hosts") == (
        b"a\xff\r\n\xc2\x85 b\n".hex()
    )
    exec_output(engine, "web", "dd", "if=/dev/zero", "of=/etc/hosts", "bs=1M", "count=5")
    connect_to(engine, "alpha", "web")
    assert exec_output(engine, "web", "stat", "-c", "%s", "/etc/hosts") == f"{5 << 20}\n"


def test_new_networks_do_not_hide_the_hosts_name_servers():
    found = host_networks((), ["172.18.0.53", "127.0.0.53", "fe80::1%eth0", "fd00::53"])
    assert {ip_network("172.18.0.53/32"), ip_network("fd00::53/128")} <= set(found)
    assert not any(network.is_loopback or network.is_link_local for network in found)


def test_a_configuration_only_network_takes_no_containers(engine, network):
    network("conf", ConfigOnly=True)
    engine.run(*SLEEP, name="web")
    said = "cannot create endpoint on configuration-only network"
    assert connect_to(engine, "conf", "web", 403) == said
    made = engine.create(*SLEEP, host={"NetworkMode": "conf"})
    answer = engine.api.post(f"/containers/{made}/start")
    assert answer.status == 403
    assert said in answer.json["message"]


def test_a_container_without_network_is_on_none(engine, network):
    network("alpha", IPAM=subnet("10.232.1.0/24"))
    made = engine.run(*SLEEP, NetworkDisabled=True)
    assert networks_of(engine, made) == {}
    assert interfaces(engine, made).keys() == {"lo"}
    said = connect_to(engine, "alpha", made, 404)
    assert said == f"network sandbox for container {made} not found"


def test_a_network_that_is_asked_for_twice_is_refused(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"))
    body = {
        "Image": "busybox", "HostConfig": {"NetworkMode": "alpha"},
        "NetworkingConfig": {"EndpointsConfig": {"alpha": {}, made: {}}},
    }  # fmt: skip
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert "alpha is there twice" in answer.message


def test_default_is_another_word_for_bridge(engine):
    config = {"default": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}
    body = {"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": config}}
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert answer.message.startswith("invalid config for network bridge:")


def test_neighbours_learn_the_new_owner_of_an_address(engine, network):
    network(
        "alpha", EnableIPv6=True,
        IPAM={"Config": [{"Subnet": "10.232.1.0/24"}, {"Subnet": "fd00:232::/64"}]},
    )  # fmt: skip
    peer = engine.run(*SLEEP, host={"NetworkMode": "alpha"})
    fixed = {"IPv4Address": "10.232.1.50", "IPv6Address": "fd00:232::50"}
    for mac in ("02:00:00:00:00:11", "02:00:00:00:00:22"):
        made = engine.run(
            *SLEEP, host={"NetworkMode": "alpha"},
            NetworkingConfig={
                "EndpointsConfig": {"alpha": {"IPAMConfig": fixed, "MacAddress": mac}}
            },
        )  # fmt: skip
        for address in fixed.values():
            for netns in (netns_of(engine, peer), None):
                with listen(netns_of(engine, made), 80, host="::") as server:
                    talk(server, connect(netns, address, 80, timeout=2))
            assert mac in exec_output(engine, peer, "ip", "neigh", "show", address)
        engine.remove(made)


def reaches(engine, container, address):
    return " 0% packet loss" in exec_output(engine, container, "ping", "-c1", "-W1", address)


def test_a_bridge_that_another_program_deletes_is_made_again_with_its_containers(engine, network):
    made = network("alpha", IPAM=subnet("10.232.1.0/24"))
    server = engine.run(*SLEEP, name="server", host={"NetworkMode": "alpha"})
    engine.run(*SLEEP, name="client", host={"NetworkMode": "alpha"})
    default = engine.run(*SLEEP, name="default")
    address = networks_of(engine, server)["alpha"]["IPAddress"]
    gateway = networks_of(engine, default)["bridge"]["Gateway"]
    for bridge in (f"br-{made[:12]}", engine.config.bridge_name):
        subprocess.run(["ip", "link", "delete", bridge], check=True)
    for container, other in (("client", address), ("server", "10.232.1.1"), ("default", gateway)):
        eventually(partial(reaches, engine, container, other))
    assert "another program deleted a bridge: it is made again" in engine.log.read_text()
    # A network that the API removes is not made again.
    engine.remove_all()
    assert engine.api.delete("/networks/alpha").status == 204
    subprocess.run(["ip", "link", "delete", engine.config.bridge_name], check=True)
    eventually(lambda: link_exists(engine.config.bridge_name))
    assert not link_exists(f"br-{made[:12]}")
