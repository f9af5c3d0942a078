"""Connecting containers to networks and disconnecting them, with a fake of the networks."""

from types import SimpleNamespace

import pytest
from tests.support.containers import fake_context, make_container

from palan.api.containers import ContainerConfig, EndpointSettings, HostConfig
from palan.api.errors import Conflict, Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.networks import NetworkConnectRequest, NetworkDisconnectRequest
from palan.engine.containers.connect import connect, disconnect, remove_pending_endpoints
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.paths import Paths


class Network(SimpleNamespace):
    """A bridge, as far as these operations look at it."""

    def __init__(self, name, *, config_only=False):
        super().__init__(
            id=f"{name}-id",
            name=name,
            driver="bridge",
            subnets=[],
            endpoints={},
            record=SimpleNamespace(config_only=config_only),
        )


class Networks:
    """Records the operations on endpoints, and fails where a test wants it."""

    def __init__(self, *networks):
        self.known = {network.name: network for network in networks}
        self.seen = []
        self.failing = ""

    def _happens(self, what):
        self.seen.append(what)
        if what == self.failing:
            raise InternalError(f"{what} failed")

    def resolve(self, reference):
        try:
            return self.known[reference]
        except KeyError:
            raise NotFound(f"network {reference} not found") from None

    def find(self, reference):
        return self.known.get(reference)

    def check_compatible(self, _mode, _names, _network):
        self._happens("check")

    async def add_endpoint(self, member, sandbox, network, _settings):
        self._happens("add")
        endpoint = EndpointRecord(id="e", network=network.id, network_name=network.name)
        sandbox.endpoints.append(endpoint)
        network.endpoints[member.id] = endpoint
        return endpoint

    async def plug_endpoint(self, _member, _sandbox, endpoint, _before):
        assert endpoint.pending
        self._happens("plug")
        return False

    async def remove_endpoint(self, member, sandbox, endpoint):
        assert endpoint.pending
        self._happens("remove")
        sandbox.endpoints.remove(endpoint)
        for network in self.known.values():
            network.endpoints.pop(member.id, None)

    def publish(self, action, network, _container_id):
        self._happens(f"{action} {network.name}")


@pytest.fixture
def networks():
    return Networks(Network("front"), Network("template", config_only=True))


@pytest.fixture
def context_of(networks, tmp_path):
    def make_context(container):
        paths = Paths(tmp_path / "data", tmp_path / "exec")
        return fake_context(container, networks=networks, paths=paths)

    return make_context


def stopped(**fields):
    return make_container(1, **{"status": "exited", **fields})


def running(*endpoints):
    sandbox = SandboxRecord(id="s", path="/run/netns/s", endpoints=list(endpoints))
    return make_container(1, status="running", sandbox=sandbox)


def joining(container):
    return NetworkConnectRequest(container=container.name)


def leaving(container, *, force=False):
    return NetworkDisconnectRequest(container=container.name, force=force)


def fail_to_save(context, *, at=1):
    """Have the ``at``-th save fail."""
    save, count = context.save, 0

    async def failing(container):
        nonlocal count
        count += 1
        if count == at:
            raise InternalError("disk full")
        await save(container)

    context.save = failing


# ---- connect --------------------------------------------------------------------


async def test_a_stopped_container_is_on_the_network_from_its_next_start(context_of, networks):
    container = stopped()
    context = context_of(container)
    await connect(context, "front", joining(container))
    assert container.record.endpoints["front"].network_id == "front-id"
    assert context.saved == ["exited"]
    assert networks.seen == ["check"]


async def test_one_that_cannot_be_saved_is_not_connected(context_of):
    container = stopped()
    context = context_of(container)
    fail_to_save(context)
    with pytest.raises(InternalError, match="disk full"):
        await connect(context, "front", joining(container))
    assert container.record.endpoints == {}


async def test_a_running_container_is_saved_before_and_after_it_is_plugged_in(context_of, networks):
    container = running()
    context = context_of(container)
    await connect(context, "front", joining(container))
    (endpoint,) = container.record.sandbox.endpoints
    assert not endpoint.pending
    assert networks.seen == ["check", "add", "plug", "connect front"]
    assert context.saved == ["running", "running"]


@pytest.mark.parametrize("failing", ["plug", "connect front"])
async def test_what_fails_half_way_is_removed(context_of, networks, failing):
    container = running()
    context = context_of(container)
    networks.failing = failing
    with pytest.raises(InternalError, match=f"{failing} failed"):
        await connect(context, "front", joining(container))
    assert networks.seen[-1] == "remove"
    assert container.record.sandbox.endpoints == []
    assert container.record.endpoints == {}
    assert context.saved == ["running", "running"]


@pytest.mark.parametrize("at", [1, 2])
async def test_a_running_one_that_cannot_be_saved_is_unplugged(context_of, networks, at):
    container = running()
    context = context_of(container)
    fail_to_save(context, at=at)
    with pytest.raises(InternalError, match="disk full"):
        await connect(context, "front", joining(container))
    assert networks.seen[-1] == "remove"
    assert container.record.endpoints == {}


@pytest.mark.parametrize(
    ("container", "network", "error"),
    [
        ({"status": "removing"}, "front", Conflict),
        ({"status": "exited"}, "absent", NotFound),
        ({"status": "exited"}, "template", Forbidden),
        ({"host_config": HostConfig(network_mode="container:x")}, "front", InvalidParameter),
        ({"config": ContainerConfig(network_disabled=True)}, "front", NotFound),
    ],
)
async def test_what_cannot_be_connected(context_of, container, network, error):
    refused = stopped(**container)
    context = context_of(refused)
    with pytest.raises(error):
        await connect(context, network, joining(refused))
    assert context.saved == []


async def test_a_running_container_is_on_a_network_once(context_of):
    container = running()
    context = context_of(container)
    await connect(context, "front", joining(container))
    with pytest.raises(Forbidden, match="already exists in network front"):
        await connect(context, "front", joining(container))


# ---- disconnect -----------------------------------------------------------------


async def test_a_stopped_container_is_disconnected(context_of):
    container = stopped(endpoints={"front": EndpointSettings()})
    context = context_of(container)
    await disconnect(context, "front", leaving(container))
    assert container.record.endpoints == {}
    assert context.saved == ["exited"]


async def test_a_stopped_one_that_cannot_be_saved_stays_connected(context_of):
    container = stopped(endpoints={"front": EndpointSettings()})
    context = context_of(container)
    fail_to_save(context)
    with pytest.raises(InternalError, match="disk full"):
        await disconnect(context, "front", leaving(container))
    assert list(container.record.endpoints) == ["front"]


async def test_one_is_disconnected_from_a_network_that_no_longer_exists(context_of):
    container = stopped(endpoints={"gone": EndpointSettings()})
    await disconnect(context_of(container), "gone", leaving(container, force=True))
    assert container.record.endpoints == {}


async def test_a_running_container_is_saved_before_and_after_it_is_unplugged(context_of, networks):
    container = running()
    context = context_of(container)
    await connect(context, "front", joining(container))
    networks.seen.clear()
    await disconnect(context, "front", leaving(container))
    assert networks.seen == ["remove", "disconnect front"]
    assert container.record.sandbox.endpoints == []
    assert context.saved == ["running"] * 4


async def test_a_running_one_that_cannot_be_saved_stays_plugged_in(context_of, networks):
    container = running()
    context = context_of(container)
    await connect(context, "front", joining(container))
    networks.seen.clear()
    fail_to_save(context)
    with pytest.raises(InternalError, match="disk full"):
        await disconnect(context, "front", leaving(container))
    (endpoint,) = container.record.sandbox.endpoints
    assert not endpoint.pending
    assert list(container.record.endpoints) == ["front"]
    assert networks.seen == []


@pytest.mark.parametrize("make", [stopped, running])
async def test_one_that_is_not_connected_cannot_be_disconnected(context_of, make):
    container = make()
    with pytest.raises(InternalError, match="is not connected to"):
        await disconnect(context_of(container), "front", leaving(container))


async def test_an_unknown_container_has_no_endpoint(context_of):
    context = context_of(stopped())
    body = NetworkDisconnectRequest(container="absent", force=True)
    with pytest.raises(NotFound, match="endpoint absent not found"):
        await disconnect(context, "front", body)


# ---- after a crash --------------------------------------------------------------


async def test_endpoints_that_a_crash_left_pending_are_removed(context_of, networks):
    half = EndpointRecord(id="h", network="front-id", network_name="front", pending=True)
    whole = EndpointRecord(id="w", network="back-id", network_name="back")
    container = running(half, whole)
    container.record.endpoints = {"front": EndpointSettings(), "back": EndpointSettings()}
    context = context_of(container)
    await remove_pending_endpoints(context, container)
    assert container.record.sandbox.endpoints == [whole]
    assert list(container.record.endpoints) == ["back"]
    assert networks.seen == ["remove"]
    assert context.saved == ["running"]


async def test_without_pending_endpoints_nothing_is_saved(context_of, networks):
    container = running(EndpointRecord(id="w", network="back-id", network_name="back"))
    context = context_of(container)
    await remove_pending_endpoints(context, container)
    assert networks.seen == context.saved == []
