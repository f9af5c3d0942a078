"""The rules of an engine as they are now: which networks and ports are in them.

What they say stands in :mod:`rules`, how they are made in :mod:`firewall_backends`.
If somebody else flushes them, as reloading a host's firewall does, they come back.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from palan.api.errors import InternalError
from palan.engine.config import EngineConfig
from palan.engine.networks.firewall_backends import (
    Backend,
    RulesRefused,
    State,
    choose,
    remove_rules,
)
from palan.engine.networks.flows import forget_flows
from palan.engine.networks.network import Network
from palan.engine.networks.rules import BridgeRules, FamilyRules, Link, Publication
from palan.host import spawn
from palan.host.filesystem import write_atomically
from palan.host.nft_monitor import TableMonitor
from palan.host.nftables import dropping_chains


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Firewall", "bridge_rules"]

REPAIR_INTERVAL: Final = 1.0
"""Seconds at least between two repairs: whoever goes on flushing keeps us busy no more."""
_BRIDGE_NETFILTER: Final = Path("/proc/sys/net/bridge")
_MODPROBE_TIMEOUT: Final = 10.0


def bridge_rules(network: Network, config: EngineConfig) -> BridgeRules:
    """What a bridge network asks of the firewall."""
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
    """What packets are let through, redirected and masqueraded.

    Attributes:
        state: what is to be in the rules.
        warnings: what others' rules do that ours can't mend.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._backend: Backend | None = None
        self.state = State()
        self.warnings: list[str] = []
        self._lock = asyncio.Lock()
        self._monitors: list[TableMonitor] = []
        self._broken = asyncio.Event()
        """Somebody may have changed our rules."""

    @property
    def rules(self) -> bool:
        """Whether there are any; else published ports are carried by the engine."""
        return self._backend is not None

    @property
    def backend(self) -> str:
        """What rules are made with: ``nftables``, ``iptables`` or ``none``."""
        return self._backend.name if self._backend else "none"

    async def load(
        self, networks: Iterable[Network], redirected: Mapping[str, list[Publication]]
    ) -> None:
        """Write all rules, when the engine starts.

        Args:
            networks: all networks that are up.
            redirected: ports of the containers that run, by their ids, to be in the rules
                from the first moment.
        """
        config = self._engine.config
        bridges = [network for network in networks if network.bridge]
        self.state.networks = {n.id: bridge_rules(n, config) for n in bridges}
        wanted = {
            container_id: [p for p in ports if self._has_family(p.version)]
            for container_id, ports in redirected.items()
        }
        self.state.ports = {container_id: ports for container_id, ports in wanted.items() if ports}
        for network in bridges:
            await self._filter_bridged(network)
        if config.iptables or config.ip6tables:
            await self._choose()
        await asyncio.to_thread(_forget_others, self._engine, self._backend)

    async def _choose(self) -> None:
        config = self._engine.config
        self._backend = await asyncio.to_thread(
            choose, config.firewall_backend, config.table_name, self.state
        )
        if self._backend is None:
            missing = config.firewall_backend or "nftables or iptables"
            self._engine.log.warning(
                "no firewall: networks are not kept apart, nothing is masqueraded, and"
                " published ports are carried by the engine",
                missing=missing,
            )
            return
        _note_backend(self._engine, self._backend.name)
        async with self._lock:
            try:
                await asyncio.to_thread(self._backend.replace)
            except (RulesRefused, OSError) as error:
                raise InternalError(f"unable to make firewall rules: {error}") from error
        self._watch()
        if self._backend.name == "nftables":
            self.warnings = await asyncio.to_thread(_warnings)
        for warning in self.warnings:
            self._engine.log.warning(warning)

    async def _filter_bridged(self, network: Network) -> None:
        if not await asyncio.to_thread(_filter_bridged, network):
            self._engine.log.warning(
                "containers of a network reach each other all the same: icc=false needs the"
                " kernel's br_netfilter",
                network=network.name,
            )

    async def network_up(self, network: Network) -> None:
        """A network was made: its rules are wanted.

        Raises:
            InternalError: they were refused.
        """
        if not network.bridge:
            return
        config = self._engine.config
        await self._filter_bridged(network)
        rules = bridge_rules(network, config)
        async with self._lock:
            self.state.networks[network.id] = rules
            try:
                await self._apply(lambda backend: backend.add_network(rules))
            except InternalError:
                del self.state.networks[network.id]
                raise

    async def network_down(self, network: Network) -> None:
        """A network is going away, and its rules with it; idempotent."""
        async with self._lock:
            rules = self.state.networks.pop(network.id, None)
            if rules is not None:
                await self._apply(lambda backend: backend.delete_network(rules))

    async def redirect(self, container_id: str, ports: list[Publication]) -> None:
        """Have packets to published ports go to a container.

        Raises:
            InternalError: the rules were refused.
        """
        ports = [p for p in ports if self._has_family(p.version)]
        if ports:
            async with self._lock:
                self.state.ports[container_id] = ports
                await self._apply(lambda backend: backend.change(ports, (), add=True))
            await self._forget_flows(ports)

    async def redirect_no_more(self, container_id: str) -> None:
        """Take the rules of a container's ports back; idempotent."""
        async with self._lock:
            ports = self.state.ports.pop(container_id, [])
            if ports:
                await self._apply(lambda backend: backend.change(ports, (), add=False))
        await self._forget_flows(ports)

    async def link(self, container_id: str, links: list[Link]) -> None:
        """Let a container reach ports of others where containers may not talk.

        Raises:
            InternalError: the rules were refused.
        """
        if links:
            async with self._lock:
                self.state.links[container_id] = links
                await self._apply(lambda backend: backend.change((), links, add=True))

    async def link_no_more(self, container_id: str) -> None:
        """Take that back; idempotent."""
        async with self._lock:
            links = self.state.links.pop(container_id, [])
            if links:
                await self._apply(lambda backend: backend.change((), links, add=False))

    async def _forget_flows(self, ports: Sequence[Publication]) -> None:
        """Have clients that never stop sending find what is published now."""
        if self._backend is not None and any(p.protocol == "udp" for p in ports):
            try:
                await asyncio.to_thread(forget_flows, ports)
            except OSError as error:
                self._engine.log.warning("flows are not forgotten", reason=str(error))

    def _has_family(self, version: int) -> bool:
        config = self._engine.config
        return config.iptables if version == 4 else config.ip6tables

    async def _apply(self, change: Callable[[Backend], None]) -> None:
        """Make a change, which the state has already; the lock is held."""
        backend = self._backend
        if backend is None:
            return
        try:
            await asyncio.to_thread(change, backend)
        except (RulesRefused, OSError) as error:
            # Somebody flushed the rules, or what an engine that was killed had begun to
            # change came after we had looked.
            self._engine.log.warning("all rules are written anew", reason=str(error))
            try:
                await asyncio.to_thread(backend.replace)
            except (RulesRefused, OSError) as failure:
                raise InternalError(f"unable to change firewall rules: {failure}") from failure

    # ---- repair ------------------------------------------------------------------------

    def _watch(self) -> None:
        """Have the rules come back if somebody else takes them away."""
        backend = self._backend
        assert backend is not None  # noqa: S101 - it made the rules
        loop = asyncio.get_running_loop()
        for family, table in backend.tables:
            try:
                monitor = TableMonitor(family, table)
            except OSError as error:
                if backend.look_every is None:
                    self._engine.log.warning("rules that are flushed stay so", reason=str(error))
                break
            self._monitors.append(monitor)
            loop.add_reader(monitor.fileno(), self._hear, backend, monitor)
        self._engine.spawn(self._repair_when_broken(backend), endless=True)

    def close(self) -> None:
        """Watch no more; the rules stay."""
        for monitor in self._monitors:
            asyncio.get_running_loop().remove_reader(monitor.fileno())
            monitor.close()
        self._monitors.clear()

    def _hear(self, backend: Backend, monitor: TableMonitor) -> None:
        batches = monitor.read()
        if any(backend.may_harm(batch) for batch in batches):
            self._broken.set()
        if any(batch.missed for batch in batches):
            # That was an error of the socket, after which uvloop would never call again.
            loop = asyncio.get_running_loop()
            loop.remove_reader(monitor.fileno())
            loop.add_reader(monitor.fileno(), self._hear, backend, monitor)

    async def _repair_when_broken(self, backend: Backend) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backend.look_every):
                    await self._broken.wait()
            self._broken.clear()
            async with self._lock:
                intact = await asyncio.to_thread(backend.intact)
            if not intact:
                await self._repair()
            await asyncio.sleep(REPAIR_INTERVAL)

    async def _repair(self) -> None:
        assert self._backend is not None  # noqa: S101 - it made the rules
        self._engine.log.warning("somebody changed the firewall's rules: they are written anew")
        try:
            async with self._lock:
                await asyncio.to_thread(self._backend.replace)
        except (RulesRefused, OSError):
            self._engine.log.exception("the rules could not be written anew")


def _note_backend(engine: "Engine", name: str) -> None:
    """Note that there will be rules of a back end."""
    path = engine.paths.firewall
    noted = path.read_text().split() if path.exists() else []
    if name not in noted:
        write_atomically(path, " ".join([*noted, name]))


def _forget_others(engine: "Engine", backend: Backend | None) -> None:
    """Remove rules that were made before with another back end, if there are any."""
    path = engine.paths.firewall
    noted = path.read_text().split() if path.exists() else []
    others = [name for name in noted if backend is None or name != backend.name]
    if others:
        try:
            remove_rules(engine.config.table_name, others)
        except OSError as error:
            engine.log.warning("rules of another back end stay", reason=str(error))
            return
        write_atomically(path, backend.name if backend else "")


def _warnings() -> list[str]:
    return [
        f"packets to and from containers are dropped by the policy of {chain}, unless its rules"
        " accept them; with --firewall-backend=iptables the engine's rules come before"
        for chain in dropping_chains("forward")
    ]


def _filter_bridged(network: Network) -> bool:
    """Have the rules apply to what a bridge passes on itself, where containers may not talk.

    Returns:
        Whether they do, or need not.
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
