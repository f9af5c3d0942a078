"""Publishing the ports of a container: sockets, firewall rules and proxies together."""

import asyncio
from collections.abc import Iterable, Mapping

from palan.api.errors import InternalError
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.endpoint_records import EndpointRecord, PortRecord, SandboxRecord
from palan.engine.networks.host_ports import (
    ANY4,
    PortRequest,
    Target,
    fits,
    publications,
    routed_records,
)
from palan.engine.networks.member import Member
from palan.engine.networks.port_parsing import PortMapping
from palan.engine.networks.table import NetworkTable


__all__ = [
    "adopt_ports",
    "publish_ports",
    "republish_ports",
    "reserve_ports",
    "target",
    "unpublish_ports",
]


def target(table: NetworkTable, sandbox: SandboxRecord, *, proxy: bool) -> Target:
    """Return the target of published ports: the endpoints that have the default routes.

    Args:
        table: the networks.
        sandbox: the container's namespace.
        proxy: whether the userland proxy is enabled.
    """
    routed, direct = set(), set()
    default_ip = ANY4
    endpoints = sandbox.main_endpoints
    for version, endpoint in endpoints.items():
        network = table.by_id(endpoint.network) if endpoint else None
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
        proxy=proxy,
    )


def _target(context: NetworkContext, sandbox: SandboxRecord) -> Target:
    return target(context.table, sandbox, proxy=context.config.userland_proxy)


def _publishing_endpoint(table: NetworkTable, sandbox: SandboxRecord) -> EndpointRecord | None:
    """Return the endpoint whose ports are published: only bridge networks publish any."""
    for endpoint in sandbox.main_endpoints.values():
        network = table.by_id(endpoint.network) if endpoint else None
        if network is not None and network.bridge:
            return endpoint
    return None


def _routed(table: NetworkTable, member: Member, sandbox: SandboxRecord) -> list[PortRecord]:
    """Return the ports that are published on routed networks without the default route.

    Clients reach the container there by its own address, whatever its default route is.
    """
    main = sandbox.main_endpoints
    addresses = []
    for endpoint in sandbox.endpoints:
        network = table.by_id(endpoint.network)
        if network is None or not network.bridge:
            continue
        modes = network.options.gateway_mode_ipv4, network.options.gateway_mode_ipv6
        for version, address, mode in zip(
            (4, 6), (endpoint.address, endpoint.address6), modes, strict=True
        ):
            if address and mode == "routed" and main[version] is not endpoint:
                addresses.append(address)
    return routed_records(_requests(member.mappings), addresses)


def _requests(mappings: Iterable[PortMapping]) -> list[PortRequest]:
    return [PortRequest(m.container_port, m.protocol, m.host_ip, m.host_ports) for m in mappings]


async def reserve_ports(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    """Bind the ports of a container that is about to start.

    Raises:
        InternalError: a port is in use; in dockerd's words.
    """
    if not member.mappings:
        return
    bound: list[PortRecord] = []
    endpoint = _publishing_endpoint(context.table, sandbox)
    if endpoint is not None:
        try:
            bound = await asyncio.to_thread(
                context.ports.reserve,
                member.id,
                _requests(member.mappings),
                _target(context, sandbox),
            )
        except InternalError as error:
            raise _failed(member, endpoint, error) from None
    sandbox.ports = [*bound, *_routed(context.table, member, sandbox)]


async def publish_ports(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    """Forward what arrives at reserved ports to the container.

    Raises:
        InternalError: the rules were refused.
    """
    if not sandbox.ports:
        return
    where = _target(context, sandbox)
    try:
        await context.firewall.add_ports(member.id, publications(sandbox.ports, where))
    except InternalError as error:
        endpoint = _publishing_endpoint(context.table, sandbox) or sandbox.endpoints[0]
        raise _failed(member, endpoint, error) from None
    context.ports.start_proxies(member.id, sandbox.ports, where)


def _failed(member: Member, endpoint: EndpointRecord, error: InternalError) -> InternalError:
    return InternalError(
        f"driver failed programming external connectivity on endpoint {member.name}"
        f" ({endpoint.id}): {error.message}"
    )


async def adopt_ports(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    """Bind the ports of a container that has kept running; its rules are in place already."""
    if not sandbox.ports:
        return
    for failure in await asyncio.to_thread(context.ports.adopt, member.id, sandbox.ports):
        context.log.warning("published port is lost", container=member.id, reason=failure)
    if _publishing_endpoint(context.table, sandbox) is not None:
        context.ports.start_proxies(member.id, sandbox.ports, _target(context, sandbox))


async def republish_ports(
    context: NetworkContext,
    member: Member,
    sandbox: SandboxRecord,
    before: Mapping[int, EndpointRecord | None],
) -> None:
    """Redirect published ports to the endpoints that have the default routes now.

    Ports are released when the last such endpoint goes, and reserved with the first one.

    Args:
        context: the networks.
        member: the container.
        sandbox: its namespace.
        before: the endpoints that had the default routes, by IP version.

    Raises:
        InternalError: a port is in use, or the rules were refused.
    """
    mappings = member.mappings
    if not mappings:
        return
    bound = [record for record in sandbox.ports if not record.address]
    routed = _routed(context.table, member, sandbox)
    if all(sandbox.main(v) is endpoint for v, endpoint in before.items()):
        ports = [*bound, *routed]
        if ports != sandbox.ports:
            sandbox.ports = ports
            await context.firewall.remove_ports(member.id)
            await context.firewall.add_ports(
                member.id, publications(ports, _target(context, sandbox))
            )
        return
    published = _publishing_endpoint(context.table, sandbox) is not None
    if published and fits(bound, _requests(mappings), _target(context, sandbox)):
        sandbox.ports = [*bound, *routed]
        await context.firewall.remove_ports(member.id)
        context.ports.stop_proxies(member.id)
    else:
        await unpublish_ports(context, member.id)
        sandbox.ports = []
        await reserve_ports(context, member, sandbox)
    await publish_ports(context, member, sandbox)


async def unpublish_ports(context: NetworkContext, container_id: str) -> None:
    """Remove the rules of a container's ports and release the ports; idempotent."""
    # The rules go first: while the ports are bound, no other container gets rules for them.
    await context.firewall.remove_ports(container_id)
    context.ports.release(container_id)
