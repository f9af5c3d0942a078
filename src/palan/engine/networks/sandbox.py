"""Sandboxes: creating the network namespace of a container with its endpoints, and removing it.

Every interface of a container has a name that carries the sandbox's id, and the namespace has
its name before the first interface exists.  So the next start of the engine finds what a crash
leaves half made by looking at the namespaces' directory.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from palan.api.containers import EndpointSettings
from palan.api.errors import Forbidden, InternalError, NotFound, PalanError
from palan.engine.networks.compatibility import CONFIGURATION_ONLY
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.endpoints import (
    create_endpoint,
    discard_endpoint,
    host_interface,
    interface_prefix,
)
from palan.engine.networks.interfaces import Connection, create_namespace, plug, unplug
from palan.engine.networks.links import allow_links
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.networks.publish import publish_ports, reserve_ports, unpublish_ports
from palan.host import netlink
from palan.host.namespaces import remove_netns
from palan.host.netlink import Netlink


__all__ = ["connections", "create_sandbox", "remove_sandbox", "sweep_sandboxes"]

_FAILED = "failed to set up container networking: "


async def create_sandbox(context: NetworkContext, member: Member) -> SandboxRecord | None:
    """Create the network namespace of a container that is about to start, with all in it.

    Returns:
        The sandbox; None if the container shares that of another container.

    Raises:
        PalanError: a network does not exist, an address or a port is in use.
    """
    mode = member.network_mode
    if mode.startswith("container:"):
        return None
    sandbox_id = secrets.token_hex(32)
    path = context.surroundings.paths.netns / sandbox_id[:12]
    sandbox = SandboxRecord(id=sandbox_id, path="" if mode == "host" else str(path))
    try:
        if not member.network_disabled:
            for network, settings in _requested(context, member):
                await create_endpoint(context, member, sandbox, network, settings)
        if sandbox.path:
            await _set_up(context, member, sandbox)
    except BaseException as error:
        await remove_sandbox(context, member, sandbox)
        if isinstance(error, PalanError) and not error.message.startswith(_FAILED):
            raise type(error)(_FAILED + error.message) from None
        if isinstance(error, OSError):
            raise InternalError(f"{_FAILED}{error}") from error
        raise
    return sandbox


def _requested(
    context: NetworkContext, member: Member
) -> Iterable[tuple[Network, EndpointSettings]]:
    """Yield the networks that a container is to be on, the one of its network mode first.

    Raises:
        NotFound: a network does not exist.
        Forbidden: a network only holds configuration.
    """
    main = context.table.find(member.network_mode)
    asked = member.endpoints
    for name in sorted(asked, key=lambda name: main is None or name != main.name):
        network = context.table.find(name)
        if network is None:
            if name == "bridge" and context.config.bridge == "none":
                continue  # as with dockerd: the container has its loopback interface only
            raise NotFound(f"network {name} not found")
        if network.record.config_only:
            raise Forbidden(CONFIGURATION_ONLY)
        asked[name].network_id = network.id
        yield network, asked[name]


def connections(context: NetworkContext, endpoints: Iterable[EndpointRecord]) -> list[Connection]:
    """Return endpoints with their networks and drivers, as far as the networks exist."""
    return [
        Connection(network, context.drivers.get(network.driver), endpoint)
        for endpoint in endpoints
        if (network := context.table.by_id(endpoint.network)) is not None
    ]


async def _set_up(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    await reserve_ports(context, member, sandbox)

    def create() -> None:
        create_namespace(sandbox)
        plug(sandbox, connections(context, sandbox.endpoints))

    await asyncio.to_thread(create)
    await context.dns.attach(member, sandbox, fresh=True)
    await publish_ports(context, member, sandbox)
    await allow_links(context, member, sandbox)


async def remove_sandbox(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    """Remove a sandbox, whole or half made; idempotent."""
    await unpublish_ports(context, member.id)
    await context.firewall.remove_links(member.id)
    context.dns.detach(member.id)
    shared = context.members.namespace_shared(member.id)
    try:
        if sandbox.path:
            await asyncio.to_thread(_remove_namespace, context, sandbox, shared=shared)
    finally:
        # The next start of the engine sweeps what is left of it; its addresses are free now.
        for endpoint in sandbox.endpoints:
            discard_endpoint(context.table.by_id(endpoint.network), member.id, endpoint)
            await context.leases.release(endpoint.id)


def _remove_namespace(context: NetworkContext, sandbox: SandboxRecord, *, shared: bool) -> None:
    # The kernel removes a veth pair with its namespace, in the background.
    # Removing it explicitly takes 14 ms and is needed only where the namespace stays in use.
    for endpoint in sandbox.endpoints:
        network = context.table.by_id(endpoint.network)
        if shared or (network is not None and network.remote):
            unplug(context.driver_of(endpoint), sandbox, endpoint)
    remove_netns(sandbox.path)


def sweep_sandboxes(directory: Path, sandboxes: Iterable[SandboxRecord]) -> None:
    """Remove all namespaces and interfaces that belong to none of the given sandboxes.

    Args:
        directory: the namespaces' directory.
        sandboxes: the sandboxes of running containers.
    """
    owned = [sandbox for sandbox in sandboxes if sandbox.path]
    known = {Path(sandbox.path) for sandbox in owned}
    strays = [path for path in directory.iterdir() if path not in known]
    gone = {interface_prefix(str(path)) for path in strays}
    kept = {interface_prefix(str(path)) for path in known}
    interfaces = {host_interface(s, e.slot) for s in owned for e in s.endpoints}
    with Netlink() as host:
        # Other programs may have interfaces on the bridge: names tell the engine's own.
        for link in host.links():
            prefix = link.name[:-2]
            if prefix in gone or (prefix in kept and link.name not in interfaces):
                with contextlib.suppress(OSError):  # it has gone with its namespace
                    host.perform(netlink.delete_link(link.index))
    for path in strays:
        remove_netns(path)
