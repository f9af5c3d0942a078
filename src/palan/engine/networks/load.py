"""Restoring the networks when the engine starts.

Rows tell which networks exist; the containers' sandboxes tell their endpoints.  Bridges,
addresses and rules are made where they are missing, as after a reboot of the machine.
Half made or half removed networks are removed.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from palan.api.errors import Forbidden, InvalidParameter, PalanError
from palan.engine.networks.bridge import interface_alias
from palan.engine.networks.bridge_repair import reattach
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.default_bridge import configure_default_bridge
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.endpoints import adopt_endpoint
from palan.engine.networks.host_ports import publications
from palan.engine.networks.network import Network
from palan.engine.networks.options import network_options
from palan.engine.networks.publish import target
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.remove import remove_resources
from palan.engine.networks.subnets import split_pools
from palan.engine.networks.table import NetworkTable
from palan.host import netlink
from palan.host.netlink import Address, Link, Netlink


__all__ = ["load", "remove_drafts"]

_DRIVERS: Final = {"bridge": "bridge", "host": "host", "none": "null"}


async def load(
    context: NetworkContext, sandboxes: Mapping[str, SandboxRecord], running: Collection[str]
) -> None:
    """Read the rows and restore all networks.

    Args:
        context: the networks; the table is empty.
        sandboxes: the sandboxes of all containers by their ids.  Also that of a container that
            has ended keeps its addresses until it is removed.
        running: the ids of the running containers: the rules have their ports at once.
    """
    table = context.table
    drafts = []
    for record in table.rows():
        network = Network(record)
        if record.draft:
            drafts.append(network)
            with contextlib.suppress(ValueError, PalanError):
                network.make_pools()
        table.add(network)
    await _add_predefined(context)
    await remove_drafts(context, drafts)
    await asyncio.to_thread(_sweep_interfaces, table, interface_alias(context.config))
    await asyncio.to_thread(_bring_up, context)
    _adopt_endpoints(table, sandboxes)
    await context.leases.load(e.id for n in table for e in n.endpoints.values())
    alive = {key: sandbox for key, sandbox in sandboxes.items() if key in running}
    await asyncio.to_thread(_reattach, list(table))
    proxy = context.config.userland_proxy
    published = {
        container_id: publications(sandbox.ports, target(table, sandbox, proxy=proxy))
        for container_id, sandbox in alive.items()
    }
    await context.firewall.load([n for n in table if not n.broken], published)


async def remove_drafts(context: NetworkContext, drafts: Iterable[Network]) -> None:
    """Remove networks that were half made or half removed; the end of the latter is an event."""
    for network in drafts:
        try:
            await remove_resources(context, network, force=True)
        except (OSError, PalanError) as error:
            # For example its plugin does not run: the row stays for the next start.
            context.log.warning("network stays", network=network.name, reason=str(error))
        context.table.discard(network)


async def _add_predefined(context: NetworkContext) -> None:
    table, config = context.table, context.config
    for name, driver in _DRIVERS.items():
        if table.named(name) is None:
            record = NetworkRecord(
                id=secrets.token_hex(32), name=name, driver=driver, created=time.time_ns()
            )
            network = Network(record)
            await table.save(network)
            table.add(network)
    default = table.default
    assert default is not None  # noqa: S101 - it was just added
    if config.bridge == "none":
        table.discard(default)  # the row stays, for a start with other directives
        return
    if config.bridge:
        await asyncio.to_thread(_check_bridge, config.bridge)
    await configure_default_bridge(
        default,
        config,
        pools=split_pools(config, context.surroundings.id),
        taken=[ip_network(p.subnet) for n in table for p in n.record.pools],
        resolvers=context.resolvers.servers(),
    )
    await table.save(default)


def _check_bridge(name: str) -> None:
    """Refuse a default network on a bridge that does not exist: it is not the engine's to make.

    Raises:
        Forbidden: in dockerd's words.
    """
    with Netlink() as host:
        link = host.link(name)
    if link is None:
        raise Forbidden(
            'error creating default "bridge" network: bridge device with non default name'
            f" {name} must be created manually"
        )
    if link.kind != "bridge":
        raise Forbidden(f'error creating default "bridge" network: {name} is not a bridge')


def _adopt_endpoints(table: NetworkTable, sandboxes: Mapping[str, SandboxRecord]) -> None:
    for container_id, sandbox in sandboxes.items():
        for endpoint in sandbox.endpoints:
            network = table.by_id(endpoint.network)
            if network is not None:
                # The default bridge may have another subnet than before.
                with contextlib.suppress(Forbidden, InvalidParameter):
                    adopt_endpoint(network, container_id, endpoint)


class _CachedNetlink(Netlink):
    """Netlink that reads interfaces and addresses once: with many networks each look is slow."""

    def __init__(self) -> None:
        super().__init__()
        self._links = {link.name: link for link in self.links()}
        self._addresses: dict[int, list[Address]] = {}
        for address in super().addresses():
            self._addresses.setdefault(address.index, []).append(address)
        self._known = {link.index for link in self._links.values()}

    def link(self, which: int | str) -> Link | None:
        """Return an interface as it was, or one that was made since."""
        found = self._links.get(which) if isinstance(which, str) else None
        return found or super().link(which)

    def addresses(self, index: int | None = None) -> list[Address]:
        """Return the addresses of an interface as they were, or of one that was made since."""
        if index in self._known:
            return self._addresses.get(index, [])
        return super().addresses(index)


def _bring_up(context: NetworkContext) -> None:
    """Bring up all networks; a failure of one does not affect the others."""
    with _CachedNetlink() as host:
        for network in context.table:
            record = network.record
            if record.config_only:
                continue
            try:
                network.options = network_options(record)
                network.make_pools()
                context.drivers.get(record.driver).up(host, network)
            except (OSError, PalanError, ValueError) as error:
                network.broken = str(error)
                context.log.warning("network is not up", network=network.name, reason=str(error))


def _sweep_interfaces(table: NetworkTable, prefix: str) -> None:
    """Remove interfaces that the engine made for networks that no row accounts for.

    Args:
        table: the networks.
        prefix: the beginning of the aliases of all interfaces that the engine has made.
    """
    with Netlink() as host:
        for link in host.links():
            if link.alias.startswith(prefix):
                network = table.by_id(link.alias.removeprefix(prefix))
                if network is None or network.record.interface != link.name:
                    with contextlib.suppress(OSError):
                        host.perform(netlink.delete_link(link.index))


def _reattach(networks: Iterable[Network]) -> None:
    with Netlink() as host:
        reattach(host, networks)
