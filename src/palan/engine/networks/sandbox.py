"""A container's network namespace: making it, plugging it in, taking it away.

Everything of one container has a name that carries the sandbox's id, and the
namespace has its name before there is a cable, so that what a crash leaves half made is
found by looking at the namespaces' directory.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from palan.api.containers import EndpointSettings
from palan.api.errors import Forbidden, InternalError, NotFound, PalanError
from palan.engine.networks.attachment import cable_prefix, host_interface, join, leave
from palan.engine.networks.company import CONFIGURATION_ONLY
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.links import Linked, allow_links
from palan.engine.networks.network import Network
from palan.engine.networks.plumbing import make_namespace, plug_in, plug_out
from palan.engine.networks.port_parsing import PortMapping
from palan.engine.networks.publish import publish, take, unpublish
from palan.host import netlink
from palan.host.namespaces import remove_netns
from palan.host.netlink import Netlink


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["plug", "remove_strays", "unplug"]

_FAILED = "failed to set up container networking: "


async def plug(
    engine: "Engine",
    container: "Container",
    mappings: list[PortMapping],
    linked: Sequence[Linked],
) -> SandboxRecord | None:
    """Give a container that is about to start its network.

    Args:
        engine: the engine.
        container: the container; its lock is held.
        mappings: its published ports.
        linked: the containers that it is linked to.

    Returns:
        Its sandbox, or None where it shares that of another container.

    Raises:
        PalanError: a network or address is not there, a port is taken.
    """
    record = container.record
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return None
    sandbox_id = secrets.token_hex(32)
    sandbox = SandboxRecord(id=sandbox_id, path=str(engine.paths.netns / sandbox_id[:12]))
    if mode == "host":
        sandbox.path = ""
    try:
        if not record.config.network_disabled:
            for network, settings in _wanted(engine, container):
                await join(engine, container, sandbox, network, settings)
        if sandbox.path:
            await _plug_all(engine, container, sandbox, mappings, linked)
    except BaseException as error:
        await unplug(engine, container, sandbox)
        if isinstance(error, PalanError) and not error.message.startswith(_FAILED):
            raise type(error)(_FAILED + error.message) from None
        if isinstance(error, OSError):
            raise InternalError(f"{_FAILED}{error}") from error
        raise
    return sandbox


def _wanted(engine: "Engine", container: "Container") -> Iterable[tuple[Network, EndpointSettings]]:
    """The networks that a container is to be on, its main one first.

    Raises:
        NotFound: one of them is gone.
        Forbidden: one of them is none that anybody can be on.
    """
    main = engine.networks.find(container.record.host_config.network_mode)
    asked = container.record.endpoints
    for name in sorted(asked, key=lambda name: main is None or name != main.name):
        network = engine.networks.find(name)
        if network is None:
            raise NotFound(f"network {name} not found")
        if network.record.config_only:
            raise Forbidden(CONFIGURATION_ONLY)
        asked[name].network_id = network.id
        yield network, asked[name]


async def _plug_all(
    engine: "Engine",
    container: "Container",
    sandbox: SandboxRecord,
    mappings: list[PortMapping],
    linked: Sequence[Linked],
) -> None:
    await take(engine, container, sandbox, mappings)
    await asyncio.to_thread(_connect, engine, sandbox)
    await engine.networks.dns.attach(container, sandbox, fresh=True)
    await publish(engine, container, sandbox)
    if linked:
        networks = engine.networks
        await allow_links(networks.firewall, networks.default, container.id, sandbox, linked)


def _connect(engine: "Engine", sandbox: SandboxRecord) -> None:
    """Make the namespace and the cables, in a thread."""
    make_namespace(sandbox)
    plug_in(sandbox, engine.networks.wiring(sandbox))


async def unplug(engine: "Engine", container: "Container", sandbox: SandboxRecord) -> None:
    """Take a sandbox away, whole or half made; idempotent."""
    await unpublish(engine, container.id)
    if container.record.links:
        await engine.networks.firewall.link_no_more(container.id)
    engine.networks.dns.detach(container.id)
    shared = any(
        c.running and c.record.host_config.network_mode == f"container:{container.id}"
        for c in engine.containers.registry
    )
    try:
        if sandbox.path:
            await asyncio.to_thread(_disconnect, engine, sandbox, shared=shared)
    finally:
        # Whatever stays of it is swept away at the next start; its address is nobody's.
        for endpoint in sandbox.endpoints:
            leave(engine.networks.by_id(endpoint.network), container.id, endpoint)
            await engine.networks.leases.give_back(endpoint.id)


def _disconnect(engine: "Engine", sandbox: SandboxRecord, *, shared: bool) -> None:
    # The cable goes with its namespace, behind our back.  Deleting it explicitly takes
    # the kernel 14 ms and is needed only where somebody else keeps the namespace alive.
    for endpoint in sandbox.endpoints:
        network = engine.networks.by_id(endpoint.network)
        if shared or (network is not None and network.remote):
            plug_out(engine.networks.driver_of(endpoint), sandbox, endpoint)
    remove_netns(sandbox.path)


def remove_strays(engine: "Engine", sandboxes: list[SandboxRecord]) -> None:
    """Remove namespaces and cables that belong to none of the given sandboxes."""
    known = {Path(s.path) for s in sandboxes if s.path}
    strays = [path for path in engine.paths.netns.iterdir() if path not in known]
    gone = {cable_prefix(str(path)) for path in strays}
    kept = {cable_prefix(str(path)) for path in known}
    cables = {host_interface(s, e.slot) for s in sandboxes if s.path for e in s.endpoints}
    with Netlink() as host:
        # Others may have their interfaces on the bridge: only what has our name is ours.
        for link in host.links():
            prefix = link.name[:-2]
            if prefix in gone or (prefix in kept and link.name not in cables):
                with contextlib.suppress(OSError):  # it has gone with its namespace
                    host.perform(netlink.delete_link(link.index))
    for path in strays:
        remove_netns(path)
