"""Network and IPAM drivers by Docker's plugin protocol, with plugins of the test's own."""

import contextlib
import json
import subprocess

import pytest
from tests.support.crash import exec_output, killed
from tests.support.engine import TestEngine
from tests.support.plugin import TestPlugin
from tests.support.user_networks import (
    SLEEP,
    connect_to,
    disconnect_from,
    interfaces,
    networks_of,
    route_of,
)


pytestmark = pytest.mark.root

GATEWAY = "com.docker.network.gateway"


class PluggedEngine(TestEngine):
    """An engine, and the state of its plugins."""

    plugin: "NetworkPlugin"
    driver: TestPlugin
    ipam: TestPlugin
    addresses: "Addresses"


class Addresses:
    """An IPAM plugin's state."""

    def __init__(self):
        self.taken = set()
        self.pools = set()

    def request_pool(self, asked):
        assert asked["AddressSpace"] == "here"
        self.pools.add("pool-1")
        return {"PoolID": "pool-1", "Pool": asked["Pool"] or "10.235.1.0/24", "Data": {}}

    def release_pool(self, asked):
        self.pools.remove(asked["PoolID"])
        return {}

    def request(self, asked):
        number = next(n for n in range(1, 250) if n not in self.taken)
        if asked["Address"]:
            number = int(asked["Address"].rpartition(".")[2])
        if number in self.taken:
            return {"Err": "it is taken"}
        self.taken.add(number)
        return {"Address": f"10.235.1.{number}/24", "Data": {}}

    def release(self, asked):
        self.taken.remove(int(asked["Address"].rpartition(".")[2]))
        return {}


class NetworkPlugin:
    """A network plugin that gives containers veth interfaces without a connected peer."""

    def __init__(self):
        self.networks, self.endpoints = {}, {}

    def create_network(self, asked):
        if asked["Options"]["com.docker.network.generic"].get("refuse"):
            return {"Err": "no such thing"}
        self.networks[asked["NetworkID"]] = asked
        return {}

    def delete_network(self, asked):
        if self.networks.pop(asked["NetworkID"], None) is None:
            return {"Err": "no such network"}
        return {}

    def create_endpoint(self, asked):
        self.endpoints[asked["EndpointID"]] = asked
        return {"Interface": {"MacAddress": "02:aa:00:00:00:01"}}

    def join(self, asked):
        name = f"pl{asked['EndpointID'][:8]}"
        command = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"]
        subprocess.run(command, check=True)
        return {
            "InterfaceName": {"SrcName": name, "DstPrefix": "cable"},
            "Gateway": "10.235.1.1",
            "StaticRoutes": [
                {"Destination": "10.99.0.0/16", "RouteType": 0, "NextHop": "10.235.1.9"}
            ],
        }

    def delete_endpoint(self, asked):
        if self.endpoints.pop(asked["EndpointID"], None) is None:
            return {"Err": "no such endpoint"}
        command = ["ip", "link", "delete", f"ppl{asked['EndpointID'][:8]}"]
        subprocess.run(command, check=False, capture_output=True)
        return {}


@pytest.fixture
def plugged():
    """Yield an engine with plugins of both kinds."""
    addresses, plugin = Addresses(), NetworkPlugin()
    engine = PluggedEngine()
    engine.start()
    engine.load_image()
    with contextlib.closing(engine):
        directory = engine.exec_root / "plugins"
        ipam = TestPlugin(
            directory / "addresses.sock",
            ("IpamDriver",),
            {
                "IpamDriver.GetDefaultAddressSpaces": lambda _: {
                    "LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "there",
                },
                "IpamDriver.RequestPool": addresses.request_pool,
                "IpamDriver.ReleasePool": addresses.release_pool,
                "IpamDriver.RequestAddress": addresses.request,
                "IpamDriver.ReleaseAddress": addresses.release,
            },
        )  # fmt: skip
        driver = TestPlugin(
            directory / "veths.sock",
            ("NetworkDriver",),
            {
                "NetworkDriver.GetCapabilities": lambda _: {"Scope": "local"},
                "NetworkDriver.CreateNetwork": plugin.create_network,
                "NetworkDriver.DeleteNetwork": plugin.delete_network,
                "NetworkDriver.CreateEndpoint": plugin.create_endpoint,
                "NetworkDriver.DeleteEndpoint": plugin.delete_endpoint,
                "NetworkDriver.Join": plugin.join,
                "NetworkDriver.Leave": lambda _: {},
            },
        )  # fmt: skip
        with ipam, driver:
            engine.plugin, engine.driver, engine.ipam = plugin, driver, ipam
            engine.addresses = addresses
            yield engine
            engine.remove_all()
            for network in engine.api.get('/networks?filters={"type":["custom"]}').json:
                assert engine.api.delete(f"/networks/{network['Id']}").status == 204
        assert not addresses.taken
        assert not addresses.pools
        assert not plugin.networks
        assert not plugin.endpoints


def create(engine, status=201, **body):
    answer = engine.api.post("/networks/create", {"Name": "alpha", **body})
    assert answer.status == status, answer.body
    return answer.json.get("Id") or answer.json["message"]


def test_addresses_come_from_an_ipam_plugin_and_go_back(plugged):
    create(plugged, IPAM={"Driver": "addresses", "Options": {"x": "y"}})
    shown = plugged.api.get("/networks/alpha").json["IPAM"]
    assert shown == {
        "Driver": "addresses", "Options": {"x": "y"},
        "Config": [{"Subnet": "10.235.1.0/24", "Gateway": "10.235.1.1"}],
    }  # fmt: skip
    made = plugged.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    assert interfaces(plugged, made)["eth0"] == "10.235.1.2/24"
    assert networks_of(plugged, made)["alpha"]["IPAddress"] == "10.235.1.2"
    taken = {"IPAMConfig": {"IPv4Address": "10.235.1.2"}}
    plugged.run(*SLEEP, name="other")
    assert "it is taken" in connect_to(plugged, "alpha", "other", 500, **taken)
    connect_to(plugged, "alpha", "other", IPAMConfig={"IPv4Address": "10.235.1.50"})
    assert plugged.addresses.taken == {1, 2, 50}
    disconnect_from(plugged, "alpha", "other")
    assert plugged.addresses.taken == {1, 2}
    with killed(plugged):
        pass
    assert networks_of(plugged, made)["alpha"]["IPAddress"] == "10.235.1.2"
    plugged.remove("web")
    assert plugged.addresses.taken == {1}


def test_a_network_plugin_makes_the_interfaces(plugged):
    made = create(plugged, Driver="veths", Options={"some": "thing"}, IPAM={"Config": [
        {"Subnet": "10.235.1.0/24"}]})  # fmt: skip
    asked = plugged.plugin.networks[made]
    assert asked["Options"]["com.docker.network.generic"] == {"some": "thing"}
    assert asked["IPv4Data"][0]["Pool"] == "10.235.1.0/24"
    container = plugged.run(
        *SLEEP, name="web", ExposedPorts={"80/tcp": {}}, host={"NetworkMode": "alpha"}
    )
    assert interfaces(plugged, container) == {"lo": "127.0.0.1/8", "cable0": "10.235.1.2/24"}
    assert route_of(plugged, container) == "10.235.1.1"
    assert "10.99.0.0/16 via 10.235.1.9" in exec_output(plugged, container, "ip", "route")
    shown = networks_of(plugged, container)["alpha"]
    assert shown["MacAddress"] == "02:aa:00:00:00:01"
    (endpoint,) = plugged.plugin.endpoints.values()
    assert endpoint["Interface"]["Address"] == "10.235.1.2/24"
    exposed = endpoint["Options"]["com.docker.network.endpoint.exposedports"]
    assert exposed == [{"Proto": 6, "Port": 80}]
    plugged.run(*SLEEP, name="other")
    connect_to(plugged, "alpha", "other")
    assert len(plugged.plugin.endpoints) == 2
    disconnect_from(plugged, "alpha", "other")
    assert len(plugged.plugin.endpoints) == 1


def test_a_plugins_refusal_is_reported_and_leaves_nothing_behind(plugged):
    body = {"Driver": "veths", "IPAM": {"Driver": "addresses"}}
    assert "no such thing" in create(plugged, 500, Options={"refuse": "1"}, **body)
    assert not plugged.addresses.taken
    assert not plugged.addresses.pools
    create(plugged, **body)
    plugged.driver.methods["NetworkDriver.Join"] = lambda _: {"Err": "not today"}
    container = plugged.create(*SLEEP, host={"NetworkMode": "alpha"})
    answer = plugged.api.post(f"/containers/{container}/start")
    assert answer.status == 500
    assert "not today" in answer.json["message"]
    assert not plugged.plugin.endpoints
    assert plugged.addresses.taken == {1}


NONSENSE = {
    "IpamDriver.GetDefaultAddressSpaces": [{"Err": "no"}, [], {"LocalDefaultAddressSpace": 5}],
    "IpamDriver.RequestPool": [
        {"Err": "no"}, [], {}, {"PoolID": "pool-1", "Pool": "here"}, {"PoolID": 7, "Pool": []},
        {"PoolID": "pool-1", "Pool": "10.235.1.0/24", "Data": {GATEWAY: "x"}},
    ],
    "IpamDriver.RequestAddress": [{"Err": "no"}, [], {}, {"Address": "x"}, {"Address": 5}],
    "NetworkDriver.CreateNetwork": [{"Err": "no"}, []],
    "NetworkDriver.CreateEndpoint": [
        {"Err": "no"}, [], {"Interface": 5}, {"Interface": {"Address": "x/y"}},
        {"Interface": {"Address": "1.2.3.4/99"}}, {"Interface": {"AddressIPv6": "fd00::/x"}},
        {"Interface": {"MacAddress": "zz"}},
    ],
    "NetworkDriver.Join": [
        {"Err": "no"}, [], {"InterfaceName": 5}, {"InterfaceName": {"SrcName": "absent"}},
        {"InterfaceName": {"SrcName": "x" * 40}}, {"InterfaceName": {"SrcName": "lo"}},
        {"InterfaceName": {"SrcName": "INTERFACE", "DstPrefix": "x" * 40}},
        {"InterfaceName": {"SrcName": "INTERFACE"}, "Gateway": "x"},
        {"InterfaceName": {"SrcName": "INTERFACE"}, "GatewayIPv6": "x"},
        {"InterfaceName": {"SrcName": "INTERFACE"}, "StaticRoutes": "x"},
        {"InterfaceName": {"SrcName": "INTERFACE"}, "StaticRoutes": [{"RouteType": 1}]},
        {"InterfaceName": {"SrcName": "INTERFACE"}, "StaticRoutes": [{"Destination": "x/y",
                                                                "RouteType": 1}]},
    ],
}  # fmt: skip


@contextlib.contextmanager
def answering(plugin, method, answer):
    """Set the answer of a plugin's method; INTERFACE in it stands for an existing interface."""
    good = plugin.methods[method]

    def bad(asked):
        if "INTERFACE" not in str(answer):
            return answer
        real = good(asked)["InterfaceName"]["SrcName"]
        return json.loads(json.dumps(answer).replace("INTERFACE", real))

    plugin.methods[method] = bad
    yield
    plugin.methods[method] = good


def refused(answer, case):
    assert answer.status == 500, case
    assert answer.message.startswith(("remote: ", "failed to ")), (case, answer.body)


def test_nonsense_from_a_plugin_is_an_error_and_leaves_nothing(plugged):
    body = {"Name": "alpha", "Driver": "veths", "IPAM": {"Driver": "addresses"}}
    web = plugged.run(*SLEEP, name="web")
    for method, answers in NONSENSE.items():
        creating = method.startswith("IpamDriver") or method.endswith("CreateNetwork")
        plugin = plugged.ipam if method.startswith("IpamDriver") else plugged.driver
        if not creating:
            create(plugged, **body)
        for answer in answers:
            case = f"{method} {answer}"
            with answering(plugin, method, answer):
                if creating:
                    refused(plugged.api.post("/networks/create", body), case)
                    assert not plugged.addresses.taken, case
                else:
                    given = {"Container": web}
                    refused(plugged.api.post("/networks/alpha/connect", given), case)
                    assert plugged.addresses.taken == {1}, case
                    assert not plugged.plugin.endpoints, case
        if not creating:
            assert plugged.api.delete("/networks/alpha").status == 204
    assert list(networks_of(plugged, web)) == ["bridge"]
    assert interfaces(plugged, web).keys() == {"lo", "eth0"}
    assert link_is_up("lo")


def link_is_up(name):
    command = ["ip", "-br", "link", "show", name]
    return "UP" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_endpoints_of_a_container_that_a_crash_prevented_are_released(plugged):
    create(plugged, Driver="veths", IPAM={"Driver": "addresses"})
    container = plugged.create(*SLEEP, host={"NetworkMode": "alpha"})

    def die(_):
        plugged.kill()

    plugged.driver.methods["NetworkDriver.Join"] = die
    with pytest.raises(OSError, match=r".*"):
        plugged.api.post(f"/containers/{container}/start")
    assert plugged.addresses.taken == {1, 2}
    plugged.start()
    assert plugged.addresses.taken == {1}
    assert not plugged.plugin.endpoints


def test_a_plugin_that_lost_its_state_is_notified_again(plugged):
    create(plugged, IPAM={"Driver": "addresses"})
    plugged.run(*SLEEP, name="web", host={"NetworkMode": "alpha"})
    asked = plugged.ipam.called("IpamDriver.RequestAddress")[-1]["Options"]
    assert asked["com.docker.network.endpoint.name"] == "web"
    assert asked["com.docker.network.endpoint.macaddress"].startswith("02:42:")
    plugged.ipam.methods["IpamDriver.GetCapabilities"] = lambda _: {"RequiresRequestReplay": True}
    with killed(plugged):
        plugged.addresses.taken.clear()
        plugged.addresses.pools.clear()
    assert plugged.addresses.taken == {1, 2}
    assert plugged.addresses.pools == {"pool-1"}


def test_plugins_that_are_not_there_are_not_found(plugged):
    assert create(plugged, 404, Driver="bogus") == 'plugin "bogus" not found'
    assert create(plugged, 404, IPAM={"Driver": "bogus"}) == 'plugin "bogus" not found'
    assert create(plugged, 400, IPAM={"Driver": "null"}) == "ipv4 pool is empty"
    # The plugin exists, but is of another kind.
    assert "does not implement" in create(plugged, 404, Driver="addresses")
