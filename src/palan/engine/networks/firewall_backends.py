"""How rules get into the kernel: by nftables, or by iptables where that is missing.

All of it blocks.  Each change is one transaction (with iptables, one in each table and
version of IP).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from palan.engine.networks import rules_iptables, rules_nft
from palan.engine.networks.rules import BridgeRules, Link, Publication
from palan.host import iptables, nft_messages, nftables
from palan.host.iptables import Iptables, IptablesError
from palan.host.nft_monitor import Batch
from palan.host.nftables import NftError


__all__ = [
    "Backend",
    "IptablesBackend",
    "NftBackend",
    "RulesRefused",
    "State",
    "choose",
    "remove_rules",
]


LOOK_INTERVAL: Final = 10.0
"""Seconds between two looks at the rules of iptables, which may tell nobody of changes."""

_IPTABLES_FORWARD: Final = frozenset(("ip filter FORWARD", "ip6 filter FORWARD"))
"""What nft calls the chain of iptables that sees forwarded packets."""


class RulesRefused(Exception):
    """The firewall did not take a change; nothing was changed."""


@dataclass(slots=True)
class State:
    """All that is to be in the rules.

    Attributes:
        networks: by their ids.
        ports: what is published, by the container's id.
        links: who may reach whom, by the container's id.
    """

    networks: dict[str, BridgeRules] = field(default_factory=dict)
    ports: dict[str, list[Publication]] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)

    @property
    def all_ports(self) -> list[Publication]:
        """Those of all containers."""
        return [p for ports in self.ports.values() for p in ports]

    @property
    def all_links(self) -> list[Link]:
        """Those of all containers."""
        return [link for links in self.links.values() for link in links]


class Backend(Protocol):
    """One way to make rules; what makes some raises :class:`RulesRefused` or ``OSError``.

    Attributes:
        name: as users choose it.
        tables: those of nf_tables that hold the rules, by family and name, as far as any do.
        look_every: seconds between two looks at the rules, where changes are not told of all.
    """

    name: str
    tables: Sequence[tuple[str, str]]
    look_every: float | None

    def replace(self) -> None:
        """Put rules in place of whatever there is of ours."""

    def add_network(self, network: BridgeRules, /) -> None:
        """Have the rules of a network; the state has it already."""

    def delete_network(self, network: BridgeRules, /) -> None:
        """Have them no more; the state has it no more."""

    def change(self, ports: Sequence[Publication], links: Sequence[Link], *, add: bool) -> None:
        """Add or delete what belongs to a container."""

    def may_harm(self, batch: Batch, /) -> bool:
        """Whether a change to the tables may have taken something of what is to be there."""

    def intact(self) -> bool:
        """Whether all is there after a change that may have harmed it; False if in doubt."""


class NftBackend:
    """Rules by nftables."""

    name = "nftables"
    look_every: float | None = None

    def __init__(self, table: str, state: State) -> None:
        self.tables: Sequence[tuple[str, str]] = ((rules_nft.FAMILY, table),)
        self._table = table
        self._state = state

    def replace(self) -> None:
        """Put a fresh table in place of whatever there is."""
        state = self._state
        networks = state.networks.values()
        _nft(rules_nft.whole(self._table, networks, state.all_ports, state.all_links))

    def add_network(self, network: BridgeRules, /) -> None:
        """Add its chains, and what leads to them."""
        if script := rules_nft.add_network(self._table, network):
            _nft(script)

    def delete_network(self, network: BridgeRules, /) -> None:
        """Delete them."""
        if script := rules_nft.delete_network(self._table, network):
            _nft(script)

    def change(self, ports: Sequence[Publication], links: Sequence[Link], *, add: bool) -> None:
        """Add elements to the maps, or delete them."""
        if add:
            changes = [
                *rules_nft.add_ports(self._table, ports),
                *rules_nft.add_links(self._table, links),
            ]
        else:
            changes = [
                *rules_nft.delete_ports(self._table, ports),
                *rules_nft.delete_links(self._table, links),
            ]
        try:
            nft_messages.commit(changes)
        except OSError as error:
            raise RulesRefused(error.strerror or str(error)) from error

    def may_harm(self, batch: Batch, /) -> bool:
        """Whether somebody else took something away."""
        if batch.missed:
            return True
        if batch.made or batch.own:  # nobody else makes our table
            return False
        gone = {chain for chain in batch.chains if not self._is_former(chain)}
        # A network that goes takes elements along, by way of a program of ours.
        return batch.deleted or bool(gone) or (bool(batch.sets) and not batch.chains)

    def _is_former(self, chain: str) -> bool:
        """Whether it is a chain of a network that is no more."""
        _, underscore, short = chain.partition("_")
        return bool(underscore) and all(n.short != short for n in self._state.networks.values())

    def intact(self) -> bool:
        """Never, after what may have harmed it, as that is told in all detail."""
        return False


def _nft(script: str) -> None:
    try:
        nftables.run(script)
    except NftError as error:
        raise RulesRefused(error.message) from error


class IptablesBackend:
    """Rules by iptables, for the versions of IP that it works for."""

    name = "iptables"
    tables: Sequence[tuple[str, str]] = [
        (family, table) for family in ("ip", "ip6") for table in rules_iptables.CHAINS
    ]
    look_every: float | None = LOOK_INTERVAL

    def __init__(self, name: str, state: State, programs: Mapping[int, Iptables]) -> None:
        self._name = name
        self._state = state
        self._programs = programs

    def _whole(self, version: int) -> rules_iptables.Rules:
        state = self._state
        networks = list(state.networks.values())
        return rules_iptables.whole(self._name, version, networks, state.all_ports, state.all_links)

    def replace(self) -> None:
        """Write the engine's chains anew, and have the host's lead to them."""
        for version, program in self._programs.items():
            rules = self._whole(version)
            try:
                program.restore(rules_iptables.restore_text(rules))
                for table, chain, rule in rules_iptables.jumps(self._name):
                    program.ensure(table, chain, rule, first=table != "nat")
            except IptablesError as error:
                raise RulesRefused(error.message) from error

    def add_network(self, _network: BridgeRules, /) -> None:
        """Write all chains anew, as their order matters."""
        self.replace()

    def delete_network(self, _network: BridgeRules, /) -> None:
        """Likewise."""
        self.replace()

    def change(self, ports: Sequence[Publication], links: Sequence[Link], *, add: bool) -> None:
        """Add rules to the chains of ports and links, or delete them."""
        action = "-A" if add else "-D"
        for version, program in self._programs.items():
            rules = rules_iptables.change_ports(self._name, version, ports, action)
            for table, lines in rules_iptables.change_links(
                self._name, version, links, action
            ).items():
                rules.setdefault(table, []).extend(lines)
            if text := rules_iptables.restore_text(rules):
                try:
                    program.restore(text)
                except IptablesError as error:
                    raise RulesRefused(error.message) from error

    def may_harm(self, batch: Batch, /) -> bool:
        """Whether chains of the host were changed, which lead to ours; if nf_tables has them."""
        foreign = any(not chain.startswith(f"{self._name}-") for chain in batch.chains)
        return batch.missed or batch.deleted or foreign

    def intact(self) -> bool:
        """Whether all is there that should be, as far as it can be counted."""
        for version, program in self._programs.items():
            wanted = self._whole(version)
            expected = sum(line.startswith("-A") for lines in wanted.values() for line in lines)
            try:
                saved = program.save().splitlines()
            except (OSError, IptablesError):  # the next look will tell
                return True
            if sum(line.startswith(f"-A {self._name}-") for line in saved) != expected:
                return False
            leading = sum(
                line.startswith("-A") and f"-j {self._name}-" in line for line in saved
            ) - sum(f"-j {self._name}-" in line for lines in wanted.values() for line in lines)
            if leading < len(rules_iptables.jumps(self._name)):
                return False
        return True


def choose(wanted: str, table: str, state: State) -> Backend | None:
    """What works on this machine; None if nothing does.

    nftables first; but where iptables' own chain drops what is forwarded, as dockerd and ufw
    have it, only rules within that chain let anything through.

    Args:
        wanted: ``nftables`` or ``iptables`` where only that will do; else empty.
        table: what tables or chains are called.
        state: what is to be in the rules; it may change from call to call.
    """
    nft = wanted in ("", "nftables") and nftables.available()
    if nft and (wanted or not _IPTABLES_FORWARD.intersection(nftables.dropping_chains("forward"))):
        return NftBackend(table, state)
    if wanted in ("", "iptables"):
        found = {version: program for version in (4, 6) if (program := iptables.find(version))}
        if 4 in found:
            return IptablesBackend(table, state, found)
    return NftBackend(table, state) if nft else None


def remove_rules(table: str, made_with: Collection[str] = ("nftables", "iptables")) -> None:
    """Remove all rules of an engine.

    Args:
        table: what tables or chains are called.
        made_with: the back ends that may have made some.

    Raises:
        OSError: some of them stay.
    """
    if "nftables" in made_with and nftables.available():
        try:
            nftables.run(rules_nft.delete_table(table))
        except NftError as error:
            raise OSError(error.message) from error
    for program in iptables.programs() if "iptables" in made_with else ():
        try:
            # Only read, which makes nothing where there is nothing.
            chains = list(_chains(program.save()))
        except (OSError, IptablesError):
            continue
        if not any(chain.startswith(f"{table}-") for _, chain in chains):
            continue
        try:
            for where, chain, rule in rules_iptables.jumps(table):
                program.remove(where, chain, rule)
            program.restore(rules_iptables.restore_text(rules_iptables.removal(table, chains)))
        except IptablesError as error:
            raise OSError(error.message) from error


def _chains(saved: str) -> Iterable[tuple[str, str]]:
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            yield table, line[1:].split()[0]
