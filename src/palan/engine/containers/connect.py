"""``POST /networks/{id}/connect`` and ``disconnect``: the endpoints of a container change.

An endpoint that is being added to or removed from a running container is saved as pending
first, so that the next start of the engine removes what a crash leaves half done.
"""

import asyncio
import contextlib

from palan.api.containers import EndpointSettings
from palan.api.errors import (
    Conflict,
    Forbidden,
    InternalError,
    InvalidParameter,
    NotFound,
    PalanError,
)
from palan.api.networks import NetworkConnectRequest, NetworkDisconnectRequest
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.etc_hosts import add_to_hosts, remove_from_hosts
from palan.engine.containers.members import member
from palan.engine.networks.compatibility import CONFIGURATION_ONLY, SHARING
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.network import Network
from palan.engine.networks.validate_endpoint import validate_endpoint


__all__ = ["connect", "disconnect", "remove_pending_endpoints"]


async def connect(context: ContainerContext, reference: str, body: NetworkConnectRequest) -> None:
    """Connect a container to a network.

    Raises:
        PalanError: in dockerd's words.
    """
    container = context.registry.get(body.container)
    settings = body.endpoint_config or EndpointSettings()
    async with container.lock:
        record = container.record
        if container.removed or record.status in ("removing", "dead"):
            raise Conflict(f"container {container.id} is marked for removal")
        network = context.networks.resolve(reference)
        if network.record.config_only:
            raise Forbidden(CONFIGURATION_ONLY)
        if record.config.network_disabled:
            raise NotFound(f"network sandbox for container {container.id} not found")
        if record.host_config.network_mode.startswith("container:"):
            raise InvalidParameter(SHARING)
        validate_endpoint(network.name, settings, network.subnets)
        mode = record.host_config.network_mode
        context.networks.check_compatible(mode, record.endpoints, network)
        asked = _only_asked(network, settings)
        if container.running and record.sandbox is not None:
            if container.id in network.endpoints:
                raise Forbidden(
                    f"endpoint with name {container.name} already exists in network {network.name}"
                )
            await _connect_running(context, container, record.sandbox, network, asked)
        elif network.name not in record.endpoints:
            record.endpoints[network.name] = asked
            try:
                await context.save(container)
            except BaseException:
                del record.endpoints[network.name]
                raise


def _only_asked(network: Network, settings: EndpointSettings) -> EndpointSettings:
    """Return the settings that a client may choose, without those that follow from them."""
    return EndpointSettings(
        network_id=network.id,
        ipam_config=settings.ipam_config,
        links=settings.links,
        aliases=settings.aliases,
        driver_opts=settings.driver_opts,
        gw_priority=settings.gw_priority,
        mac_address=settings.mac_address,
    )


async def _connect_running(
    context: ContainerContext,
    container: Container,
    sandbox: SandboxRecord,
    network: Network,
    asked: EndpointSettings,
) -> None:
    record, networks = container.record, context.networks
    this = member(context, container)
    before = sandbox.main_endpoints
    endpoint = await networks.add_endpoint(this, sandbox, network, asked)
    endpoint.pending = True
    record.endpoints[network.name] = asked
    try:
        await context.save(container)
        if await networks.plug_endpoint(this, sandbox, endpoint, before):
            await asyncio.to_thread(_use_name_server, context, container)
        await asyncio.to_thread(add_to_hosts, context, container, endpoint)
        endpoint.pending = False
        networks.publish("connect", network, container.id)
        await context.save(container)
    except BaseException:
        endpoint.pending = True
        del record.endpoints[network.name]
        await _remove_endpoint(context, container, sandbox, endpoint)
        with contextlib.suppress(PalanError):
            await context.save(container)
        raise


def _use_name_server(context: ContainerContext, container: Container) -> None:
    """Name the engine's name server in ``resolv.conf``, unless the container changed the file."""
    this = member(context, container)
    path = context.paths.container(container.id) / "resolv.conf"
    original = context.networks.resolv_conf(this, embedded=False).encode()
    with path.open("rb") as file:
        unchanged = file.read(len(original) + 1) == original
    if unchanged:
        path.write_text(context.networks.resolv_conf(this, embedded=True))


async def _remove_endpoint(
    context: ContainerContext,
    container: Container,
    sandbox: SandboxRecord,
    endpoint: EndpointRecord,
) -> None:
    """Remove an endpoint of a running container, whole or half made; idempotent."""
    await context.networks.remove_endpoint(member(context, container), sandbox, endpoint)
    await asyncio.to_thread(remove_from_hosts, context, container, endpoint)


async def remove_pending_endpoints(context: ContainerContext, container: Container) -> None:
    """Remove endpoints of a running container that a crash has left half added or removed."""
    sandbox = container.record.sandbox
    pending = [e for e in sandbox.endpoints if e.pending] if sandbox else []
    disconnected = []
    for endpoint in pending:
        assert sandbox is not None  # noqa: S101 - it has endpoints
        await _remove_endpoint(context, container, sandbox, endpoint)
        # A disconnect has discarded the settings already; a half made endpoint was no event.
        if container.record.endpoints.pop(endpoint.network_name, None) is None:
            disconnected.append(context.networks.find(endpoint.network))
    if pending:
        for network in filter(None, disconnected):
            context.networks.publish("disconnect", network, container.id)
        await context.save(container)


async def disconnect(
    context: ContainerContext, reference: str, body: NetworkDisconnectRequest
) -> None:
    """Disconnect a container from a network.

    Raises:
        PalanError: in dockerd's words.
    """
    network = context.networks.find(reference)
    container = context.registry.find(body.container)
    if container is None:
        context.networks.resolve(reference)
        if body.force:
            raise NotFound(f"endpoint {body.container} not found")
        container = context.registry.get(body.container)
    async with container.lock:
        record = container.record
        if container.removed or record.status in ("removing", "dead"):
            raise Conflict(f"container {container.id} is marked for removal")
        if not container.running or (network is None and body.force):
            await _disconnect_stopped(context, container, reference, network)
        else:
            network = network or context.networks.resolve(reference)
            await _disconnect_running(context, container, network)


async def _disconnect_stopped(
    context: ContainerContext, container: Container, reference: str, network: Network | None
) -> None:
    """Remove a network, which may no longer exist, from those that the next start connects."""
    endpoints = container.record.endpoints
    name = network.name if network is not None else reference
    if name not in endpoints:
        raise InternalError(f"container {container.id} is not connected to the network {name}")
    asked = endpoints.pop(name)
    try:
        await context.save(container)
    except BaseException:
        endpoints[name] = asked
        raise


async def _disconnect_running(
    context: ContainerContext, container: Container, network: Network
) -> None:
    record = container.record
    sandbox = record.sandbox
    if network.driver == "host" and record.host_config.network_mode == "host":
        raise InvalidParameter(
            "cannot disconnect container from host network - container was created in host"
            " network mode"
        )
    endpoint = network.endpoints.get(container.id)
    if sandbox is None or endpoint is None or endpoint not in sandbox.endpoints:
        raise InternalError(f"container {container.id} is not connected to network {network.name}")
    asked = record.endpoints.pop(network.name, None)
    endpoint.pending = True
    try:
        await context.save(container)
    except BaseException:
        endpoint.pending = False
        if asked is not None:
            record.endpoints[network.name] = asked
        raise
    await _remove_endpoint(context, container, sandbox, endpoint)
    context.networks.publish("disconnect", network, container.id)
    await context.save(container)
