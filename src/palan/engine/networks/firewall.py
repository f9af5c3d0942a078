"""The firewall rules of an engine: for which networks, ports and links there are rules now.

:mod:`rules` describes the rules, :mod:`firewall_backends` writes them.  If another program
flushes them, as a reload of the host's firewall does, they are written again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError
from palan.engine.config import EngineConfig
from palan.engine.networks.firewall_backends import (
    Backend,
    RulesRefused,
    State,
    choose,
    remove_rules,
)
from palan.engine.networks.flows import remove_stale_flows
from palan.engine.networks.network import Network
from palan.engine.networks.rules import BridgeRules, FamilyRules, Link, Publication
from palan.engine.networks.surroundings import Surroundings
from palan.host import spawn
from palan.host.filesystem import write_atomically
from palan.host.nft_monitor import TableMonitor
from palan.host.nftables import dropping_chains


__all__ = ["Firewall", "bridge_rules"]

REPAIR_INTERVAL: Final = 1.0
"""Seconds between two repairs at least, so that repeated flushing costs little."""
_BRIDGE_NETFILTER: Final = Path("/proc/sys/net/bridge")
_MODPROBE_TIMEOUT: Final = 10.0


def bridge_rules(network: Network, config: EngineConfig) -> BridgeRules:
    """Return the rules that a bridge network needs."""
    options = network.options
    families = {}
    for version, wanted, mode, snat in (
        (4, config.iptables, options.gateway_mode_ipv4, options.host_ipv4),
        (6, config.ip6tables, options.gateway_mode_ipv6, options.host_ipv6),
    ):
        subnets = tuple(str(pool.subnet) for pool in network.pools_of(version))
        if wanted and subnets:
            families[version] = FamilyRules(
                subnets=subnets,
                masquerade=options.masquerade and mode != "routed",
                snat=snat,
                routed=mode == "routed",
                unprotected=mode == "nat-unprotected",
            )
    return BridgeRules(
        id=network.id,
        bridge=network.bridge,
        internal=network.internal,
        icc=options.icc,
        trusted=options.trusted_interfaces,
        families=families,
    )


class Firewall:
    """The rules by which packets are accepted, redirected and masqueraded.

    Attributes:
        state: the contents of the rules.
        warnings: effects of other programs' rules that these rules can't prevent.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._log = surroundings.log
        self._backend: Backend | None = None
        self.state = State()
        self.warnings: list[str] = []
        self._lock = asyncio.Lock()
        self._monitors: list[TableMonitor] = []
        self._broken = asyncio.Event()
        """Set when another program may have changed the rules."""

    @property
    def rules(self) -> bool:
        """Whether there are rules; without, the userland proxy forwards all published ports."""
        return self._backend is not None

    @property
    def backend(self) -> str:
        """The back end: ``nftables``, ``iptables`` or ``none``."""
        return self._backend.name if self._backend else "none"

    async def load(
        self, networks: Iterable[Network], published: Mapping[str, list[Publication]]
    ) -> None:
        """Write all rules when the engine starts.

        Args:
            networks: all networks that are up.
            published: the ports of running containers, by the containers' ids: the rules have
                them from the first moment.
        """
        config = self._surroundings.config
        bridges = [network for network in networks if network.bridge]
        self.state.networks = {n.id: bridge_rules(n, config) for n in bridges}
        wanted = {
            container_id: [p for p in ports if self._has_family(p.version)]
            for container_id, ports in published.items()
        }
        self.state.ports = {container_id: ports for container_id, ports in wanted.items() if ports}
        for network in bridges:
            await self.filter_bridged(network)
        if config.iptables or config.ip6tables:
            await self._choose()
        path = self._surroundings.paths.firewall
        try:
            await asyncio.to_thread(_remove_others, path, config.table_name, self._backend)
        except OSError as error:
            self._log.warning("rules of another back end stay", reason=str(error))

    async def _choose(self) -> None:
        config = self._surroundings.config
        self._backend = await asyncio.to_thread(
            choose, config.firewall_backend, config.table_name, self.state
        )
        if self._backend is None:
            missing = config.firewall_backend or "nftables or iptables"
            self._log.warning(
                "no firewall: networks are not isolated, nothing is masqueraded, and"
                " published ports are forwarded by the userland proxy",
                missing=missing,
            )
            return
        _save_backend(self._surroundings.paths.firewall, self._backend.name)
        async with self._lock:
            try:
                await asyncio.to_thread(self._backend.replace)
            except (RulesRefused, OSError) as error:
                raise InternalError(f"unable to make firewall rules: {error}") from error
        self._watch()
        if self._backend.name == "nftables":
            self.warnings = await asyncio.to_thread(_warnings)
        for warning in self.warnings:
            self._log.warning(warning)

    async def filter_bridged(self, network: Network) -> None:
        """Make rules apply to packets between the ports of a network's bridge, if it needs it."""
        if not await asyncio.to_thread(_filter_bridged, network):
            self._log.warning(
                "containers of a network reach each other all the same: icc=false needs the"
                " kernel's br_netfilter",
                network=network.name,
            )

    async def add_network(self, network: Network) -> None:
        """Add the rules of a network.

        Raises:
            InternalError: the rules were refused.
        """
        if not network.bridge:
            return
        config = self._surroundings.config
        await self.filter_bridged(network)
        rules = bridge_rules(network, config)
        async with self._lock:
            self.state.networks[network.id] = rules
            try:
                await self._apply(lambda backend: backend.add_network(rules))
            except InternalError:
                del self.state.networks[network.id]
                raise

    async def remove_networks(self, networks: Iterable[Network]) -> None:
        """Remove the rules of networks in one change; idempotent."""
        async with self._lock:
            known = [self.state.networks.pop(network.id, None) for network in networks]
            if rules := [each for each in known if each is not None]:
                await self._apply(lambda backend: backend.delete_networks(rules))

    async def add_ports(self, container_id: str, ports: list[Publication]) -> None:
        """Add the rules that redirect published ports to a container.

        Raises:
            InternalError: the rules were refused.
        """
        ports = [p for p in ports if self._has_family(p.version)]
        if ports:
            async with self._lock:
                self.state.ports[container_id] = ports
                await self._apply(lambda backend: backend.change(ports, (), add=True))
            await self._remove_flows(ports)

    async def remove_ports(self, container_id: str) -> None:
        """Remove the rules of a container's published ports; idempotent."""
        async with self._lock:
            ports = self.state.ports.pop(container_id, [])
            if ports:
                await self._apply(lambda backend: backend.change(ports, (), add=False))
        await self._remove_flows(ports)

    async def add_links(self, container_id: str, links: list[Link]) -> None:
        """Add the rules that allow a container to reach ports of those that it is linked to.

        Raises:
            InternalError: the rules were refused.
        """
        if links:
            async with self._lock:
                self.state.links[container_id] = links
                await self._apply(lambda backend: backend.change((), links, add=True))

    async def remove_links(self, container_id: str) -> None:
        """Remove the rules of a container's links; idempotent."""
        async with self._lock:
            links = self.state.links.pop(container_id, [])
            if links:
                await self._apply(lambda backend: backend.change((), links, add=False))

    async def _remove_flows(self, ports: Sequence[Publication]) -> None:
        """Remove UDP flows, so that clients that never pause reach what is published now."""
        if self._backend is not None and any(p.protocol == "udp" for p in ports):
            try:
                await asyncio.to_thread(remove_stale_flows, ports)
            except OSError as error:
                self._log.warning("UDP flows are not removed", reason=str(error))

    def _has_family(self, version: int) -> bool:
        config = self._surroundings.config
        return config.iptables if version == 4 else config.ip6tables

    async def _apply(self, change: Callable[[Backend], None]) -> None:
        """Apply a change that is in the state already; the lock is held."""
        backend = self._backend
        if backend is None:
            return
        try:
            await asyncio.to_thread(change, backend)
        except (RulesRefused, OSError) as error:
            # Another program flushed the rules, or a change that a killed engine had begun
            # came after this engine had read them.
            self._log.warning("all rules are rewritten", reason=str(error))
            try:
                await asyncio.to_thread(backend.replace)
            except (RulesRefused, OSError) as failure:
                raise InternalError(f"unable to change firewall rules: {failure}") from failure

    # ---- repair ------------------------------------------------------------------------

    def _watch(self) -> None:
        """Watch for changes by other programs, and repair the rules after them."""
        backend = self._backend
        assert backend is not None  # noqa: S101 - it made the rules
        loop = asyncio.get_running_loop()
        for family, table in backend.tables:
            try:
                monitor = TableMonitor(family, table)
            except OSError as error:
                if backend.check_interval is None:
                    self._log.warning("rules that are flushed are not repaired", reason=str(error))
                break
            self._monitors.append(monitor)
            loop.add_reader(monitor.fileno(), self._on_change, backend, monitor)
        self._surroundings.spawn(self._repair_when_broken(backend), endless=True)

    def close(self) -> None:
        """Stop watching; the rules stay."""
        for monitor in self._monitors:
            asyncio.get_running_loop().remove_reader(monitor.fileno())
            monitor.close()
        self._monitors.clear()

    def _on_change(self, backend: Backend, monitor: TableMonitor) -> None:
        batches = monitor.read()
        if any(backend.may_remove_rules(batch) for batch in batches):
            self._broken.set()
        if any(batch.missed for batch in batches):
            # That was an error of the socket, after which uvloop calls no reader any more.
            loop = asyncio.get_running_loop()
            loop.remove_reader(monitor.fileno())
            loop.add_reader(monitor.fileno(), self._on_change, backend, monitor)

    async def _repair_when_broken(self, backend: Backend) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backend.check_interval):
                    await self._broken.wait()
            self._broken.clear()
            async with self._lock:
                intact = await asyncio.to_thread(backend.intact)
            if not intact:
                await self._repair()
            await asyncio.sleep(REPAIR_INTERVAL)

    async def _repair(self) -> None:
        assert self._backend is not None  # noqa: S101 - it made the rules
        self._log.warning("another program changed the firewall rules: they are rewritten")
        try:
            async with self._lock:
                await asyncio.to_thread(self._backend.replace)
        except (RulesRefused, OSError):
            self._log.exception("the firewall rules could not be rewritten")


def _saved_backends(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _save_backend(path: Path, name: str) -> None:
    """Write down that a back end is about to make rules."""
    saved = _saved_backends(path)
    if name not in saved:
        write_atomically(path, " ".join([*saved, name]))


def _remove_others(path: Path, table_name: str, backend: Backend | None) -> None:
    """Remove the rules that were made earlier with another back end.

    Raises:
        OSError: some rules stay.
    """
    others = [n for n in _saved_backends(path) if backend is None or n != backend.name]
    if others:
        remove_rules(table_name, others)
        write_atomically(path, backend.name if backend else "")


def _warnings() -> list[str]:
    return [
        f"packets to and from containers are dropped by the policy of {chain}, unless its rules"
        " accept them; with --firewall-backend=iptables the engine's rules come before"
        for chain in dropping_chains("forward")
    ]


def _filter_bridged(network: Network) -> bool:
    """Make the rules apply to bridged packets, where containers may not talk to each other.

    Returns:
        Whether they apply, or need not.
    """
    if network.options.icc:
        return True
    if not _BRIDGE_NETFILTER.is_dir():
        with contextlib.suppress(OSError):
            spawn.run(["modprobe", "br_netfilter"], timeout=_MODPROBE_TIMEOUT)
    for tables in ("iptables", "ip6tables"):
        with contextlib.suppress(OSError):
            Path(f"/sys/class/net/{network.bridge}/bridge/nf_call_{tables}").write_text("1")
    return _BRIDGE_NETFILTER.is_dir()
