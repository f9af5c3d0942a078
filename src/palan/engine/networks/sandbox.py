"""A container's network namespace: making it, plugging it in, taking it away.

Everything of one container has a name that carries the sandbox's id, and the
namespace has its name before there is a cable, so that what a crash leaves half made is
found by looking at the namespaces' directory.
"""

import asyncio
import contextlib
import os
import secrets
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from palan.api.errors import InternalError, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.ports import PortMapping
from palan.engine.containers.record import SandboxRecord
from palan.engine.networks.ports import PortRequest, publications
from palan.host import netlink
from palan.host.namespaces import create_netns, remove_netns
from palan.host.netlink import Netlink


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["plug", "remove_strays", "unplug"]

CONTAINER_INTERFACE = "eth0"


async def plug(
    engine: "Engine", container: Container, mappings: list[PortMapping]
) -> SandboxRecord | None:
    """Give a container that is about to start its network.

    Returns:
        Its sandbox, or None where it shares somebody else's namespace.

    Raises:
        InternalError: a port is taken, or no address is left.
    """
    record = container.record
    mode = record.host_config.network_mode
    if mode == "host" or mode.startswith("container:"):
        return None
    sandbox_id = secrets.token_hex(32)
    sandbox = SandboxRecord(id=sandbox_id, path=str(engine.paths.netns / sandbox_id[:12]))
    if mode == "none" or record.config.network_disabled:
        await asyncio.to_thread(create_netns, sandbox.path)
        if mode == "none":
            sandbox.network = engine.networks.id_of("none")
            sandbox.endpoint = secrets.token_hex(32)
        return sandbox
    pool = engine.networks.pool
    if mode != "bridge" or pool is None:
        raise NotFound(f"failed to set up container networking: network {mode} not found")
    endpoint = secrets.token_hex(32)
    try:
        address = pool.allocate()
        sandbox.network = engine.networks.id_of("bridge")
        sandbox.endpoint = endpoint
        sandbox.address = str(address)
        sandbox.prefix = pool.subnet.prefixlen
        sandbox.gateway = engine.config.default_gateway or str(pool.gateway.ip)
        sandbox.mac_address = _mac(container, address)
        sandbox.host_interface = _interface(Path(sandbox.path))
        _publish(engine, container, sandbox, mappings)
        await asyncio.to_thread(_connect, engine, sandbox)
        if sandbox.ports:
            redirected = publications(sandbox.ports, sandbox.address)
            await engine.networks.redirect(container.id, redirected)
            await engine.networks.ports.serve(container.id, sandbox.ports, sandbox.address)
    except BaseException as error:
        await unplug(engine, container, sandbox)
        if isinstance(error, InternalError):
            raise InternalError(
                "failed to set up container networking: driver failed programming external"
                f" connectivity on endpoint {container.name} ({endpoint}): {error.message}"
            ) from None
        raise
    return sandbox


def _interface(namespace: Path) -> str:
    """The name of the host's end of the cable into a namespace."""
    return f"veth{namespace.name[:11]}"


def _mac(container: Container, address: IPv4Address) -> str:
    """What was asked for, or one made of the address, which can't be in use twice."""
    asked = container.record.endpoints.get("bridge")
    if asked is not None and asked.mac_address:
        return asked.mac_address
    return "02:42:" + ":".join(f"{byte:02x}" for byte in address.packed)


def _publish(
    engine: "Engine", container: Container, sandbox: SandboxRecord, mappings: list[PortMapping]
) -> None:
    requests = [
        PortRequest(m.container_port, m.protocol, m.host_ip, m.host_ports) for m in mappings
    ]
    if not engine.networks.rules and any(r.protocol != "tcp" for r in requests):
        raise InternalError("UDP and SCTP ports can be published only where there is nftables")
    sandbox.ports = engine.networks.ports.take(container.id, requests, engine.config.ip)


def _connect(engine: "Engine", sandbox: SandboxRecord) -> None:
    """Make the namespace and the cable, in a thread."""
    create_netns(sandbox.path)
    namespace = os.open(sandbox.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Netlink() as host:
            bridge = host.link(engine.config.bridge_name)
            if bridge is None:
                raise InternalError(f"the bridge {engine.config.bridge_name} is gone")
            host.perform(
                netlink.add_veth(
                    sandbox.host_interface,
                    CONTAINER_INTERFACE,
                    mtu=engine.config.mtu,
                    master=bridge.index,
                    peer_mac=sandbox.mac_address,
                    peer_netns=namespace,
                )
            )
            if sandbox.ports:
                # With br_netfilter, a container that asks for its own published port has the
                # packet sent back by the bridge itself, to the port that it came from.
                host.perform(netlink.set_bridge_port(sandbox.host_interface, hairpin=True))
        with Netlink(namespace) as inside:
            interface = inside.link(CONTAINER_INTERFACE)
            assert interface is not None  # noqa: S101 - it was just made
            address = IPv4Interface(f"{sandbox.address}/{sandbox.prefix}")
            inside.perform(
                netlink.set_link(interface.index, up=True),
                netlink.add_address(interface.index, address),
                netlink.add_route("0.0.0.0/0", gateway=sandbox.gateway),
            )
    finally:
        os.close(namespace)


async def unplug(engine: "Engine", container: Container, sandbox: SandboxRecord) -> None:
    """Take a sandbox away, whole or half made; idempotent."""
    # The rules go first: as long as the ports are taken, nobody else makes rules for them.
    await engine.networks.redirect_no_more(container.id)
    engine.networks.ports.give_back(container.id)
    shared = any(
        c.running and c.record.host_config.network_mode == f"container:{container.id}"
        for c in engine.containers.registry
    )
    try:
        await asyncio.to_thread(_disconnect, sandbox, shared=shared)
    finally:
        # Whatever stays of it is swept away at the next start; its address is nobody's.
        if sandbox.address and engine.networks.pool is not None:
            engine.networks.pool.release(IPv4Address(sandbox.address))


def _disconnect(sandbox: SandboxRecord, *, shared: bool) -> None:
    # The cable goes with its namespace, behind our back.  Deleting it explicitly takes
    # the kernel 14 ms and is needed only where somebody else keeps the namespace alive.
    if shared and sandbox.host_interface:
        with Netlink() as host, contextlib.suppress(OSError):
            host.perform(netlink.delete_link(sandbox.host_interface))
    remove_netns(sandbox.path)


def remove_strays(engine: "Engine", sandboxes: list[SandboxRecord]) -> None:
    """Remove namespaces and interfaces that belong to none of the given sandboxes."""
    paths = {Path(s.path) for s in sandboxes}
    strays = [path for path in engine.paths.netns.iterdir() if path not in paths]
    if not strays:
        return
    with Netlink() as host:
        # Others may have their interfaces on the bridge: only what has our name is ours.
        for path in strays:
            with contextlib.suppress(OSError):  # it has gone with its namespace
                host.perform(netlink.delete_link(_interface(path)))
            remove_netns(path)
