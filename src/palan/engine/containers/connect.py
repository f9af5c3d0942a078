"""``POST /networks/{id}/connect`` and ``disconnect``: containers that join and leave networks.

A running container's row says first that an endpoint is coming or going, so that what a
crash leaves half plugged is taken away by the next start of the context.
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
from palan.engine.containers.hosts import add_to_hosts, remove_from_hosts
from palan.engine.networks.attachment import join, leave
from palan.engine.networks.company import CONFIGURATION_ONLY, SHARING, check_company
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.network import Network
from palan.engine.networks.plumbing import plug_in, plug_out, reroute
from palan.engine.networks.validate_endpoint import validate_endpoint


__all__ = ["connect", "disconnect", "drop_pending"]


async def connect(context: ContainerContext, reference: str, body: NetworkConnectRequest) -> None:
    """Put a container on a network.

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
        check_company(
            context.surroundings, record.host_config.network_mode, record.endpoints, network
        )
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
    """What can be asked for of an endpoint; what it will have is not the client's to say."""
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
    record = container.record
    before = {version: sandbox.main(version) for version in (4, 6)}
    try:
        endpoint = await join(context.surroundings, container, sandbox, network, asked)
    except BaseException:
        if (half := network.endpoints.get(container.id)) is not None:
            await _drop(context, container, sandbox, half)
        raise
    endpoint.pending = True
    record.endpoints[network.name] = asked

    def plug() -> None:
        plug_in(sandbox, context.networks.wiring(sandbox, endpoint), late=True)
        reroute(sandbox, before)

    try:
        await context.save(container)
        try:
            await asyncio.to_thread(plug)
        except OSError as error:
            raise InternalError(
                f"failed to connect container {container.name} to network {network.name}: {error}"
            ) from error
        await context.networks.main_changed(container, sandbox, before)
        await context.networks.dns.joined(container, sandbox)
        await asyncio.to_thread(add_to_hosts, context, container, endpoint)
        endpoint.pending = False
        context.networks.publish("connect", network, container.id)
        await context.save(container)
    except BaseException:
        endpoint.pending = True
        del record.endpoints[network.name]
        await _drop(context, container, sandbox, endpoint)
        with contextlib.suppress(PalanError):
            await context.save(container)
        raise


async def _drop(
    context: ContainerContext,
    container: Container,
    sandbox: SandboxRecord,
    endpoint: EndpointRecord,
) -> None:
    """Take an endpoint away from a namespace that stays, as far as it got; idempotent."""
    before = {version: sandbox.main(version) for version in (4, 6)}
    if endpoint in sandbox.endpoints:
        sandbox.endpoints.remove(endpoint)
    network = context.networks.by_id(endpoint.network)
    try:
        await context.networks.main_changed(container, sandbox, before)
    except PalanError as error:  # what is to go goes all the same
        context.log.warning(
            "ports are not published any more", container=container.id, reason=error.message
        )

    def plug_away() -> None:
        plug_out(context.networks.driver_of(endpoint), sandbox, endpoint)
        remove_from_hosts(context, container, endpoint)
        with contextlib.suppress(OSError):  # the namespace is just going away
            reroute(sandbox, before)

    try:
        await asyncio.to_thread(plug_away)
    finally:
        leave(network, container.id, endpoint)
        await context.networks.leases.give_back(endpoint.id)


async def drop_pending(context: ContainerContext, container: Container) -> None:
    """Take away what a crash has left half plugged in or out of a container that runs."""
    sandbox = container.record.sandbox
    pending = [e for e in sandbox.endpoints if e.pending] if sandbox else []
    for endpoint in pending:
        assert sandbox is not None  # noqa: S101 - it has endpoints
        await _drop(context, container, sandbox, endpoint)
        container.record.endpoints.pop(endpoint.network_name, None)
    if pending:
        await context.save(container)


async def disconnect(
    context: ContainerContext, reference: str, body: NetworkDisconnectRequest
) -> None:
    """Take a container off a network.

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
    """Have a container not be on a network, which may be gone, at its next start."""
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
    await _drop(context, container, sandbox, endpoint)
    context.networks.publish("disconnect", network, container.id)
    await context.save(container)
