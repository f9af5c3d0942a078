"""The back ends that write rules into the kernel: nftables, or iptables where that is missing.

All functions block.  Each change is one transaction (with iptables, one per table and version
of IP).
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


CHECK_INTERVAL: Final = 10.0
"""Seconds between two checks of iptables' rules, whose changes may not be reported."""

_IPTABLES_FORWARD: Final = frozenset(("ip filter FORWARD", "ip6 filter FORWARD"))
"""The chains of iptables for forwarded packets, by their names in nft."""


class RulesRefused(Exception):
    """The firewall refused a change; nothing was changed."""


@dataclass(slots=True)
class State:
    """The contents of the rules.

    Attributes:
        networks: the networks by their ids.
        ports: published ports by the container's id.
        links: permitted links by the container's id.
    """

    networks: dict[str, BridgeRules] = field(default_factory=dict)
    ports: dict[str, list[Publication]] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)

    @property
    def all_ports(self) -> list[Publication]:
        """The published ports of all containers."""
        return [p for ports in self.ports.values() for p in ports]

    @property
    def all_links(self) -> list[Link]:
        """The links of all containers."""
        return [link for links in self.links.values() for link in links]


class Backend(Protocol):
    """A back end; methods that change rules raise :class:`RulesRefused` or ``OSError``.

    Attributes:
        name: the name in the configuration.
        tables: the families and names of the nf_tables tables that hold the rules, if any do.
        check_interval: seconds between two checks of the rules; None if all changes are reported.
    """

    name: str
    tables: Sequence[tuple[str, str]]
    check_interval: float | None

    def replace(self) -> None:
        """Replace all rules of the engine."""

    def add_network(self, network: BridgeRules, /) -> None:
        """Add the rules of a network that is in the state already."""

    def delete_networks(self, networks: Sequence[BridgeRules], /) -> None:
        """Remove the rules of networks that are no longer in the state."""

    def change(self, ports: Sequence[Publication], links: Sequence[Link], *, add: bool) -> None:
        """Add or delete the rules of ports and links of a container."""

    def may_remove_rules(self, batch: Batch, /) -> bool:
        """Return whether a reported change may have removed rules."""

    def intact(self) -> bool:
        """Return whether all rules are in place after a suspicious change; False if in doubt."""


class NftBackend:
    """The back end for nftables."""

    name = "nftables"
    check_interval: float | None = None

    def __init__(self, table: str, state: State) -> None:
        self.tables: Sequence[tuple[str, str]] = ((rules_nft.FAMILY, table),)
        self._table = table
        self._state = state

    def replace(self) -> None:
        """Replace the engine's table in one transaction."""
        state = self._state
        networks = state.networks.values()
        _nft(rules_nft.replace_table(self._table, networks, state.all_ports, state.all_links))

    def add_network(self, network: BridgeRules, /) -> None:
        """Add the chains of a network, and the elements that jump to them."""
        if script := rules_nft.add_network(self._table, network):
            _nft(script)

    def delete_networks(self, networks: Sequence[BridgeRules], /) -> None:
        """Delete the chains and elements of networks in one transaction."""
        scripts = (rules_nft.delete_network(self._table, network) for network in networks)
        if script := "\n".join(filter(None, scripts)):
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

    def may_remove_rules(self, batch: Batch, /) -> bool:
        """Return whether another program may have removed rules."""
        if batch.missed:
            return True
        if batch.made or batch.own:  # no other program makes the engine's table
            return False
        gone = {chain for chain in batch.chains if not self._is_former(chain)}
        # When a network is removed, a program started by the engine deletes its elements.
        return batch.deleted or bool(gone) or (bool(batch.sets) and not batch.chains)

    def _is_former(self, chain: str) -> bool:
        """Return whether a chain belonged to a network that does not exist any more."""
        _, underscore, short = chain.partition("_")
        return bool(underscore) and all(n.short != short for n in self._state.networks.values())

    def intact(self) -> bool:
        """Return False: a suspicious change did remove rules, as changes are reported in detail."""
        return False


def _nft(script: str) -> None:
    try:
        nftables.run(script)
    except NftError as error:
        raise RulesRefused(error.message) from error


class IptablesBackend:
    """The back end for iptables, for the IP versions that have a working program."""

    name = "iptables"
    tables: Sequence[tuple[str, str]] = [
        (family, table) for family in ("ip", "ip6") for table in rules_iptables.CHAINS
    ]
    check_interval: float | None = CHECK_INTERVAL

    def __init__(self, name: str, state: State, programs: Mapping[int, Iptables]) -> None:
        self._name = name
        self._state = state
        self._programs = programs

    def _rules(self, version: int) -> rules_iptables.Rules:
        state = self._state
        networks = list(state.networks.values())
        return rules_iptables.all_rules(
            self._name, version, networks, state.all_ports, state.all_links
        )

    def replace(self) -> None:
        """Rewrite the engine's chains, and let the host's chains jump to them."""
        for version, program in self._programs.items():
            rules = self._rules(version)
            try:
                program.restore(rules_iptables.restore_text(rules))
                for table, chain, rule in rules_iptables.jumps(self._name):
                    program.ensure(table, chain, rule, first=table != "nat")
            except IptablesError as error:
                raise RulesRefused(error.message) from error

    def add_network(self, _network: BridgeRules, /) -> None:
        """Rewrite all chains, as the order of rules matters."""
        self.replace()

    def delete_networks(self, _networks: Sequence[BridgeRules], /) -> None:
        """Rewrite all chains, as the order of rules matters."""
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

    def may_remove_rules(self, batch: Batch, /) -> bool:
        """Return whether chains of the host, which jump to the engine's, were changed."""
        foreign = any(not chain.startswith(f"{self._name}-") for chain in batch.chains)
        return batch.missed or batch.deleted or foreign

    def intact(self) -> bool:
        """Return whether all rules are in place, as far as counting shows."""
        for version, program in self._programs.items():
            wanted = self._rules(version)
            expected = sum(line.startswith("-A") for lines in wanted.values() for line in lines)
            try:
                saved = program.save().splitlines()
            except (OSError, IptablesError):  # the next check finds out
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
    """Return the back end that works on this machine; None if none does.

    nftables is preferred.  But where iptables' own chain drops forwarded packets, as dockerd
    and ufw set it up, only rules within that chain can accept any.

    Args:
        wanted: ``nftables`` or ``iptables`` if configured; else empty.
        table: the name of the table, or the prefix of chains.
        state: the contents of the rules, which the firewall changes.
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
        table: the name of the table, or the prefix of chains.
        made_with: the back ends that may have made rules.

    Raises:
        OSError: some rules stay.
    """
    if "nftables" in made_with and nftables.available():
        try:
            nftables.run(rules_nft.delete_table(table))
        except NftError as error:
            raise OSError(error.message) from error
    for program in iptables.programs() if "iptables" in made_with else ():
        try:
            # Reading the rules first avoids creating tables that do not exist.
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
