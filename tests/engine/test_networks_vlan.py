"""macvlan: containers on a link of the host, reached by other machines on the link."""

import subprocess

import pytest
from tests.support.network import connect, listen, neighbour, netns_of, talk
from tests.support.user_networks import SLEEP, link_exists, network, networks_of, route_of, subnet


pytestmark = pytest.mark.root

__all__ = ["network"]


@pytest.fixture
def machine():
    with neighbour() as found:
        yield found


def wire(machine, number):
    """Return an address on the link to the neighbouring machine."""
    return machine.address.rpartition(".")[0] + f".{number}"


def serve(engine, container, netns, address):
    """Return the address of a client in ``netns`` as a server in the container sees it."""
    with listen(netns_of(engine, container), 80) as server:
        return talk(server, connect(netns, address, 80))


def kernel_has_vlans(parent):
    command = ["ip", "link", "add", "link", parent, "name", "pt.1", "type", "vlan", "id", "1"]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return False
    subprocess.run(["ip", "link", "delete", "pt.1"], check=True)
    return True


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_a_container_on_the_wire_is_reached_from_outside(engine, network, machine, mode):
    network(
        "wire", Driver="macvlan", IPAM=subnet(wire(machine, 0) + "/24", Gateway=wire(machine, 2)),
        Options={"parent": machine.interface, "macvlan_mode": mode},
    )  # fmt: skip
    address = wire(machine, 50)
    endpoint = {"wire": {"IPAMConfig": {"IPv4Address": address}}}
    made = engine.run(
        *SLEEP, host={"NetworkMode": "wire"}, NetworkingConfig={"EndpointsConfig": endpoint}
    )
    assert serve(engine, made, machine.netns, address) == machine.address
    assert route_of(engine, made) == machine.address
    assert networks_of(engine, made)["wire"]["Gateway"] == machine.address
    engine.remove_all()
    assert link_exists(machine.interface)


def test_vlan_interfaces_come_with_the_first_network_and_go_with_the_last(engine, network, machine):
    tagged = f"{machine.interface}.42"
    if not kernel_has_vlans(machine.interface):
        said = network("first", 501, Driver="macvlan", Options={"parent": tagged})
        assert "the kernel has no VLANs" in said
        assert engine.api.get("/networks/first").status == 404
        pytest.skip("the kernel has no VLANs")
    for name, part in (("first", "10.233.1.0/25"), ("second", "10.233.1.128/25")):
        network(name, Driver="macvlan", IPAM=subnet(part), Options={"parent": tagged})
    for command in (
        "link add link up0 name up0.42 type vlan id 42",
        "addr add 10.233.1.100/24 dev up0.42",
        "link set up0.42 up",
    ):
        subprocess.run(["ip", "-n", machine.name, *command.split()], check=True)
    made = engine.run(*SLEEP, host={"NetworkMode": "first"})
    assert networks_of(engine, made)["first"]["IPAddress"] == "10.233.1.1"
    assert serve(engine, made, machine.netns, "10.233.1.1") == "10.233.1.100"
    engine.remove_all()
    assert engine.api.delete("/networks/first").status == 204
    assert link_exists(tagged)
    assert engine.api.delete("/networks/second").status == 204
    assert not link_exists(tagged)


def test_without_a_parent_containers_reach_each_other_only(engine, network):
    made = network("closed", Driver="macvlan", IPAM=subnet("10.233.2.0/24", Gateway="10.233.2.1"))
    one, two = (engine.run(*SLEEP, host={"NetworkMode": "closed"}) for _ in range(2))
    assert serve(engine, one, netns_of(engine, two), "10.233.2.2") == "10.233.2.3"
    assert route_of(engine, one) == ""
    engine.remove_all()
    assert engine.api.delete("/networks/closed").status == 204
    assert not link_exists(f"dm-{made[:12]}")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"parent": "lo"}, 400, "loopback interface is not a valid macvlan parent"),
        ({"parent": "absent0"}, 400, "invalid subinterface vlan name absent0"),
        ({"parent": "absent0.7"}, 400, "not found on the host: absent0"),
        ({"parent": "lo.5000"}, 400, "must be between 1-4094, received: 5000"),
        ({"parent": "lo.x"}, 400, "unable to parse a valid vlan id from: x"),
        ({"macvlan_mode": "odd"}, 400, "requested macvlan mode 'odd' is not valid"),
    ],
)
def test_invalid_options_are_refused_and_leave_nothing_behind(
    engine, network, options, status, words
):
    said = network("bad", status, Driver="macvlan", IPAM=subnet("10.233.3.0/24"), Options=options)
    assert words in said
    assert engine.api.get("/networks/bad").status == 404


def test_passthru_is_for_one_network_alone(network, machine):
    network(
        "one", Driver="macvlan", IPAM=subnet("10.233.3.0/25"),
        Options={"parent": machine.interface, "macvlan_mode": "passthru"},
    )  # fmt: skip
    said = network(
        "two", 409, Driver="macvlan", IPAM=subnet("10.233.3.128/25"),
        Options={"parent": machine.interface},
    )  # fmt: skip
    assert "in mode passthru" in said


def kernel_has(kind, parent):
    """Return whether the kernel has this kind of interface."""
    command = ["ip", "link", "add", "link", parent, "name", "pt1", "type", kind]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return False
    subprocess.run(["ip", "link", "delete", "pt1"], check=True)
    return True


def test_ipvlan_is_a_clear_error_where_the_kernel_lacks_it(engine, network, machine):
    if kernel_has("ipvlan", machine.interface):
        pytest.skip("the kernel has ipvlan")
    options = {"parent": machine.interface}
    assert "the kernel has no ipvlan" in network("ip", 501, Driver="ipvlan", Options=options)
    assert engine.api.get("/networks/ip").status == 404


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlan_is_reached_from_outside(engine, network, machine, mode):
    if not kernel_has("ipvlan", machine.interface):
        pytest.skip("the kernel has no ipvlan")
    part = wire(machine, 0) + "/24" if mode == "l2" else "10.233.5.0/24"
    network(
        "ip", Driver="ipvlan", IPAM=subnet(part, IPRange=part.replace(".0/24", ".32/27")),
        Options={"parent": machine.interface, "ipvlan_mode": mode},
    )  # fmt: skip
    if mode != "l2":
        machine.add_route(part)
    one, two = (engine.run(*SLEEP, host={"NetworkMode": "ip"}) for _ in range(2))
    first, second = (networks_of(engine, made)["ip"]["IPAddress"] for made in (one, two))
    assert serve(engine, one, machine.netns, first) == machine.address
    assert serve(engine, one, netns_of(engine, two), first) == second
    macs = {networks_of(engine, made)["ip"]["MacAddress"] for made in (one, two)}
    assert len(macs) == 1
    engine.remove_all()
    assert link_exists(machine.interface)


@pytest.mark.parametrize(("mode", "meet"), [("bridge", True), ("private", False), ("vepa", False)])
def test_modes_say_whether_containers_on_a_wire_meet(engine, network, machine, mode, meet):
    network(
        "wire", Driver="macvlan", IPAM=subnet("10.233.6.0/24"),
        Options={"parent": machine.interface, "macvlan_mode": mode},
    )  # fmt: skip
    one, two = (engine.run(*SLEEP, host={"NetworkMode": "wire"}) for _ in range(2))
    with listen(netns_of(engine, one), 80) as server:
        if meet:
            talk(server, connect(netns_of(engine, two), "10.233.6.1", 80))
        else:
            with pytest.raises(OSError, match=r"timed out|No route"):
                connect(netns_of(engine, two), "10.233.6.1", 80, timeout=0.5)


def test_vlans_on_a_dummy_interface_outlive_the_engine(own_engine):
    engine = own_engine
    command = ["ip", "link", "add", "ptdummy0", "type", "dummy"]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("the kernel has no dummy interfaces")
    try:
        body = {
            "Name": "wire", "Driver": "macvlan", "IPAM": subnet("10.233.7.0/24"),
            "Options": {"parent": "ptdummy0.50"},
        }  # fmt: skip
        answer = engine.api.post("/networks/create", body)
        if answer.status == 501:
            pytest.skip("the kernel has no VLANs")
        assert answer.status == 201, answer.body
        one, two = (engine.run(*SLEEP, host={"NetworkMode": "wire"}) for _ in range(2))
        assert serve(engine, one, netns_of(engine, two), "10.233.7.1") == "10.233.7.2"
        engine.kill()
        engine.start()
        assert engine.api.delete("/networks/wire").status == 403
        assert serve(engine, one, netns_of(engine, two), "10.233.7.1") == "10.233.7.2"
        engine.remove_all()
        assert engine.api.delete("/networks/wire").status == 204
        assert not link_exists("ptdummy0.50")
        assert link_exists("ptdummy0")
    finally:
        subprocess.run(["ip", "link", "delete", "ptdummy0"], check=False)
