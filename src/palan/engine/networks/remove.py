"""``DELETE /networks/{id}``, and removing what a half made network has."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from palan.api.errors import Forbidden, InternalError, PalanError
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.network import Network
from palan.engine.networks.remote_ipam import is_remote
from palan.host.netlink import Netlink
from palan.plugins import PluginNotFound, PluginUnreachable


__all__ = ["remove_network", "remove_networks", "remove_resources"]

AT_ONCE: Final = 8
"""Interfaces that are deleted at a time: the kernel mostly waits for each."""


async def remove_network(context: NetworkContext, network: Network) -> None:
    """Remove a network without endpoints.

    Raises:
        Forbidden: it is predefined, in use, or a configuration that other networks are based on.
        InternalError: the machine or a plugin refuses; the network stays.
    """
    _check_removable(context, network)
    _mark(network)
    await _remove(context, network)


async def remove_networks(context: NetworkContext, networks: Iterable[Network]) -> list[Network]:
    """Remove many networks: their rules in one change, their interfaces several at a time.

    Args:
        context: the networks.
        networks: the networks; those that can't be removed stay.

    Returns:
        The networks that are removed, in the given order.
    """
    removable = []
    for network in networks:
        try:
            _check_removable(context, network)
        except Forbidden as error:
            _log_stay(context, network, error)
        else:
            _mark(network)
            removable.append(network)
    several, one = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore()

    async def remove(network: Network) -> bool:
        # Networks of other drivers may share an interface, which goes with the last of them.
        async with several if network.bridge else one:
            try:
                await _remove(context, network)
            except PalanError as error:
                _log_stay(context, network, error)
                return False
            return True

    try:
        await context.firewall.remove_networks(removable)
    except InternalError as error:
        context.log.warning("rules of networks stay", reason=error.message)
    done = await asyncio.gather(*map(remove, removable))
    return [network for network, removed in zip(removable, done, strict=True) if removed]


def _mark(network: Network) -> None:
    """Let look-ups not find a network any more, and the next start remove it."""
    network.record.draft = network.record.removing = True


def _log_stay(context: NetworkContext, network: Network, error: PalanError) -> None:
    context.log.warning("network stays", network=network.name, reason=error.message)


async def _remove(context: NetworkContext, network: Network) -> None:
    """Remove a network that is marked as a draft; it is no draft if it stays."""
    record = network.record
    try:
        await context.table.save(network)
        await remove_resources(context, network)
    except BaseException as error:
        record.draft = record.removing = False
        with contextlib.suppress(InternalError):
            await context.firewall.add_network(network)
            await context.table.save(network)
        if isinstance(error, OSError):
            raise InternalError(f"error while removing network: {error}") from error
        raise
    context.table.discard(network)


def _check_removable(context: NetworkContext, network: Network) -> None:
    if network.predefined:
        raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
    if network.record.config_only and any(
        n.record.config_from == network.name for n in context.table
    ):
        raise Forbidden(
            f'error while removing network: configuration network "{network.name}" is in use'
        )
    if network.endpoints:
        names = ", ".join(
            f'name:"{context.members.name_of(container_id)}" id:"{endpoint.id[:12]}"'
            for container_id, endpoint in network.endpoints.items()
        )
        raise Forbidden(
            f"error while removing network: network {network.name} has active endpoints ({names})"
        )


async def remove_resources(
    context: NetworkContext, network: Network, *, force: bool = False
) -> None:
    """Remove the rules, interfaces and plugin state of a network, then its row; idempotent.

    Args:
        context: the networks.
        network: the network.
        force: whether to continue if its plugin refuses to remove it.

    Raises:
        OSError, PalanError: something stays, and so does the row.
    """
    await context.firewall.remove_networks([network])

    def down() -> None:
        with Netlink() as host:
            context.drivers.get(network.driver).down(host, network)

    try:
        if not network.record.config_only:
            await asyncio.to_thread(down)
    except InternalError as error:
        refused = not isinstance(error.__cause__, PluginNotFound | PluginUnreachable)
        if not (force and refused):
            raise
    if is_remote(network):
        await context.ipam(network).release_pools(network)
    if network.record.removing and not network.record.config_only:
        context.publish("destroy", network)  # in the transaction that deletes the row
    await context.table.delete(network)
