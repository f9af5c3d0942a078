"""Making bridges again that another program has deleted, with the containers on them.

Without a bridge its containers are cut off.  The kernel notifies about deleted interfaces, so
the bridges need not be checked periodically.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from palan.api.errors import PalanError
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.network import Network
from palan.host import netlink
from palan.host.link_monitor import LinkMonitor
from palan.host.netlink import Netlink


__all__ = ["BridgeRepair", "reattach"]

INTERVAL: Final = 1.0
"""Seconds between two repairs at least, so that repeated deletion costs little."""


def reattach(host: Netlink, networks: Iterable[Network]) -> None:
    """Attach the veth pairs of containers to bridges that were made again; blocking."""
    links = {link.name: link for link in host.links()}
    for network in networks:
        bridge = links.get(network.bridge)
        for endpoint in network.endpoints.values() if bridge else ():
            veth = links.get(endpoint.host_interface)
            if bridge and veth and veth.master != bridge.index:
                with contextlib.suppress(OSError):
                    host.perform(netlink.set_link(veth.index, master=bridge.index, up=True))
                    if endpoint.hairpin:
                        host.perform(netlink.set_bridge_port(veth.name, hairpin=True))


class BridgeRepair:
    """Watches the interfaces of networks while the engine runs."""

    def __init__(self, context: NetworkContext) -> None:
        self._context = context
        self._monitor: LinkMonitor | None = None
        self._deleted = asyncio.Event()

    def start(self) -> None:
        """Start watching; the interfaces of all networks exist now."""
        try:
            self._monitor = LinkMonitor()
        except OSError as error:
            self._context.log.warning("bridges are not watched", reason=str(error))
            return
        asyncio.get_running_loop().add_reader(self._monitor.fileno(), self._on_change)
        self._context.surroundings.spawn(self._repair_when_deleted(), endless=True)

    def close(self) -> None:
        """Stop watching; idempotent."""
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor.close()
            self._monitor = None

    def _on_change(self) -> None:
        assert self._monitor is not None  # noqa: S101 - it called this
        deleted = self._monitor.read()
        if deleted is None:
            # That was an error of the socket, after which uvloop calls no reader any more.
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._monitor.fileno())
            loop.add_reader(self._monitor.fileno(), self._on_change)
        if deleted is None or any(n.record.interface in deleted for n in self._watched()):
            self._deleted.set()

    def _watched(self) -> list[Network]:
        """Return the networks whose interfaces must exist, those just made or removed excepted."""
        return [
            network
            for network in self._context.table
            if network.record.interface and not (network.record.draft or network.broken)
        ]

    async def _repair_when_deleted(self) -> None:
        while True:
            await self._deleted.wait()
            self._deleted.clear()
            await self.repair()
            await asyncio.sleep(INTERVAL)

    async def repair(self) -> None:
        """Make the missing bridges again, and attach their containers."""
        watched = self._watched()
        existing = await asyncio.to_thread(_existing)
        repaired = []
        for network in watched:
            if network.record.interface in existing or network.record.draft:
                continue
            shown = {"network": network.name, "interface": network.record.interface}
            if network.record.foreign or not network.bridge:
                self._context.log.error(
                    "another program deleted an interface: containers are cut off", **shown
                )
                continue
            self._context.log.warning("another program deleted a bridge: it is made again", **shown)
            try:
                await asyncio.to_thread(self._make, network)
                await self._context.firewall.filter_bridged(network)
            except (OSError, PalanError) as error:
                self._context.log.error(  # noqa: TRY400 - the reason says all
                    "a bridge could not be made again: containers are cut off",
                    reason=str(error),
                    **shown,
                )
                continue
            repaired.append(network)
        if repaired:
            await asyncio.to_thread(self._reattach, repaired)

    def _make(self, network: Network) -> None:
        with Netlink() as host:
            self._context.drivers.get(network.driver).up(host, network)

    def _reattach(self, networks: Iterable[Network]) -> None:
        with Netlink() as host:
            reattach(host, networks)


def _existing() -> set[str]:
    with Netlink() as host:
        return {link.name for link in host.links()}
