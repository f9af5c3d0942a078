"""The rules of an engine as they are now: which networks and ports are in them.

:mod:`palan.engine.networks.rules` makes their text.
"""

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from palan.api.errors import InternalError
from palan.engine.config import EngineConfig
from palan.engine.networks.network import Network
from palan.engine.networks.rules import Publication, add_ports, delete_ports, static_rules
from palan.host import nftables


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Firewall", "remove_rules"]


class Firewall:
    """What packets are let through, redirected and masqueraded.

    Attributes:
        rules: whether there are any; without nftables there are none.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.rules = False
        self._gateway: IPv4Interface | None = None
        self._redirected: dict[str, list[Publication]] = {}
        """What the rules redirect, by the container's id."""
        self._lock = asyncio.Lock()

    async def load(
        self, networks: Iterable[Network], redirected: Mapping[str, list[Publication]]
    ) -> None:
        """Write all rules, when the engine starts.

        Args:
            networks: all networks that are up.
            redirected: ports of the containers that run, by their ids, to be in the rules
                from the first moment.
        """
        default = next((n for n in networks if n.name == "bridge"), None)
        self._gateway = default.gateway4 if default else None
        self._redirected = dict(redirected)
        if self._gateway is None or not self._engine.config.iptables:
            return
        self.rules = await asyncio.to_thread(nftables.available)
        if self.rules:
            await self._write_all()
        else:
            self._engine.log.warning(
                "no nftables: published TCP ports are carried by the engine, others are refused"
            )

    async def network_up(self, network: Network) -> None:
        """A network was made: its rules are wanted."""

    async def network_down(self, network: Network) -> None:
        """A network is going away, and its rules with it; idempotent."""

    def _publications(self) -> list[Publication]:
        return [p for publications in self._redirected.values() for p in publications]

    async def redirect(self, container_id: str, publications: list[Publication]) -> None:
        """Have packets to published ports go to a container.

        Raises:
            InternalError: the rules were refused.
        """
        if not self.rules:
            return
        table = self._engine.config.table_name
        async with self._lock:
            self._redirected[container_id] = publications
            try:
                await asyncio.to_thread(nftables.run, add_ports(table, publications))
            except nftables.NftError as error:
                # Somebody flushed the table, or what an engine that was killed had begun
                # to change came after we had looked.
                self._engine.log.warning("all rules are written anew", reason=error.message)
                await self._write_all()
            except OSError as error:
                raise InternalError(f"unable to redirect ports: {error}") from error

    async def _write_all(self) -> None:
        assert self._gateway is not None  # noqa: S101 - without one there are no rules
        config = self._engine.config
        rules = static_rules(
            config.table_name,
            config.bridge_name,
            str(self._gateway.network),
            masquerade=config.ip_masq,
            talk=config.icc,
        )
        script = rules + add_ports(config.table_name, self._publications())
        try:
            await asyncio.to_thread(nftables.run, script)
        except (nftables.NftError, OSError) as error:
            raise InternalError(f"unable to redirect ports: {error}") from error

    async def redirect_no_more(self, container_id: str) -> None:
        """Take the rules of a container's ports back; idempotent."""
        if not self.rules or not self._redirected.get(container_id):
            return
        table = self._engine.config.table_name
        async with self._lock:
            publications = self._redirected.pop(container_id, [])
            try:
                await asyncio.to_thread(nftables.run, delete_ports(table, publications))
            except nftables.NftError as error:
                # Somebody flushed the table, or the start failed before the rules were made.
                self._engine.log.debug(
                    "no rules to delete", container=container_id, reason=error.message
                )


def remove_rules(config: EngineConfig) -> None:
    """Remove all rules of an engine; blocking."""
    if nftables.available():
        nftables.run(f"table ip {config.table_name} {{}}\ndelete table ip {config.table_name}")
