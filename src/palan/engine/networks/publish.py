"""Publishing the ports of a container: sockets, rules and what has to be carried, together."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from palan.api.errors import InternalError
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.host_ports import ANY4, PortRequest, Target, fits, publications
from palan.engine.networks.port_parsing import PortMapping, published_ports


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["move", "publish", "resume", "take", "target", "unpublish"]


def target(engine: "Engine", sandbox: SandboxRecord) -> Target:
    """Where published ports lead to: the endpoints that have the default routes."""
    routed, direct = set(), set()
    default_ip = ANY4
    endpoints = {version: sandbox.main(version) for version in (4, 6)}
    for version, endpoint in endpoints.items():
        network = engine.networks.by_id(endpoint.network) if endpoint else None
        if network is None or not network.bridge:
            continue
        options = network.options
        mode = options.gateway_mode_ipv4 if version == 4 else options.gateway_mode_ipv6
        if mode == "routed":
            routed.add(version)
        if options.trusted_interfaces:
            direct.add(version)
        if options.host_ip:
            default_ip = options.host_ip
    four, six = endpoints[4], endpoints[6]
    return Target(
        address=four.address if four else "",
        address6=six.address6 if six else "",
        default_ip=default_ip,
        routed=frozenset(routed),
        direct=frozenset(direct),
        proxy=engine.config.userland_proxy,
    )


def _is_published(engine: "Engine", sandbox: SandboxRecord) -> EndpointRecord | None:
    """The endpoint whose ports are published; networks that are no bridges have none."""
    for version in (4, 6):
        endpoint = sandbox.main(version)
        network = engine.networks.by_id(endpoint.network) if endpoint else None
        if network is not None and network.bridge:
            return endpoint
    return None


def _requests(mappings: Iterable[PortMapping]) -> list[PortRequest]:
    return [PortRequest(m.container_port, m.protocol, m.host_ip, m.host_ports) for m in mappings]


async def take(
    engine: "Engine", container: "Container", sandbox: SandboxRecord, mappings: list[PortMapping]
) -> None:
    """Bind the ports of a container that is about to start.

    Raises:
        InternalError: one is taken; in dockerd's words.
    """
    endpoint = _is_published(engine, sandbox)
    if endpoint is None or not mappings:
        return
    ports = engine.networks.ports
    try:
        sandbox.ports = await asyncio.to_thread(
            ports.take, container.id, _requests(mappings), target(engine, sandbox)
        )
    except InternalError as error:
        raise _failed(container, endpoint, error) from None


async def publish(engine: "Engine", container: "Container", sandbox: SandboxRecord) -> None:
    """Have what arrives at the ports that were taken go to the container.

    Raises:
        InternalError: the rules were refused.
    """
    endpoint = _is_published(engine, sandbox)
    if endpoint is None or not sandbox.ports:
        return
    where = target(engine, sandbox)
    try:
        await engine.networks.firewall.redirect(container.id, publications(sandbox.ports, where))
    except InternalError as error:
        raise _failed(container, endpoint, error) from None
    engine.networks.ports.serve(container.id, sandbox.ports, where)


def _failed(
    container: "Container", endpoint: EndpointRecord, error: InternalError
) -> InternalError:
    return InternalError(
        f"driver failed programming external connectivity on endpoint {container.name}"
        f" ({endpoint.id}): {error.message}"
    )


async def resume(engine: "Engine", container: "Container") -> None:
    """Bind the ports of a container that runs again; the rules have been there all along."""
    sandbox = container.record.sandbox
    if sandbox is None or not sandbox.ports:
        return
    ports = engine.networks.ports
    for failure in await asyncio.to_thread(ports.resume, container.id, sandbox.ports):
        engine.log.warning("published port is lost", container=container.id, reason=failure)
    if _is_published(engine, sandbox) is not None:
        ports.serve(container.id, sandbox.ports, target(engine, sandbox))


async def move(
    engine: "Engine",
    container: "Container",
    sandbox: SandboxRecord,
    before: dict[int, EndpointRecord | None],
) -> None:
    """Have published ports lead to the endpoints that have the default routes now.

    They are given back when there is no such endpoint any more, and taken with the first one.

    Raises:
        InternalError: a port is taken, or the rules were refused.
    """
    config, host_config = container.record.config, container.record.host_config
    mappings = published_ports(
        host_config.port_bindings, config.exposed_ports, publish_all=host_config.publish_all_ports
    )
    if not mappings or all(sandbox.main(v) is endpoint for v, endpoint in before.items()):
        return
    published = _is_published(engine, sandbox) is not None
    if published and fits(sandbox.ports, _requests(mappings), target(engine, sandbox)):
        await engine.networks.firewall.redirect_no_more(container.id)
        engine.networks.ports.serve_no_more(container.id)
    else:
        await unpublish(engine, container.id)
        sandbox.ports = []
        await take(engine, container, sandbox, mappings)
    await publish(engine, container, sandbox)


async def unpublish(engine: "Engine", container_id: str) -> None:
    """Take a container's ports back; idempotent."""
    # The rules go first: as long as the ports are taken, nobody else makes rules for them.
    await engine.networks.firewall.redirect_no_more(container_id)
    engine.networks.ports.give_back(container_id)
