"""Packet filter rules by means of the iptables programs, legacy or based on nf_tables.

They are used on machines where nftables cannot be used directly.
"""

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from palan.host import spawn
from palan.host.namespaces import run_in_netns


__all__ = ["Iptables", "IptablesError", "find", "programs"]

_TIMEOUT: Final = 60.0
_NAMES: Final = ("", "-nft", "-legacy")
"""The distribution's default, then the variants by name."""


class IptablesError(Exception):
    """The rules were rejected; no table was changed in part.

    Attributes:
        message: error output of the program.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"iptables: {message}")
        self.message = message


class Iptables:
    """The programs of one variant for one IP version.

    Args:
        version: 4 or 6.
        variant: such as ``-legacy``; "" for the distribution's default.
    """

    def __init__(self, version: int, variant: str = "") -> None:
        self.version = version
        base = "iptables" if version == 4 else "ip6tables"
        self._base = base
        self._variant = variant

    def _run(
        self,
        tool: str,
        arguments: Iterable[str],
        text: str | None = None,
        netns: str | Path | int | None = None,
    ) -> spawn.Completed:
        program = f"{self._base}{self._variant}{tool}"

        def start() -> spawn.Completed:
            given = None if text is None else text.encode()
            return spawn.run([program, *arguments], input=given, timeout=_TIMEOUT)

        return start() if netns is None else run_in_netns(netns, start)

    def works(self) -> bool:
        """Whether it can be used for address translation."""
        try:
            return self._run("", ("-w", "-t", "nat", "-n", "-L", "POSTROUTING")).returncode == 0
        except OSError:
            return False

    def restore(self, text: str, *, netns: str | Path | int | None = None) -> None:
        """Apply changes; chains that are not named stay unchanged.

        Args:
            text: in the format of iptables-restore(8).
            netns: a path or descriptor of a network namespace; None for the current one.

        Raises:
            IptablesError: the changes were rejected.
            OSError: the program could not be started.
        """
        result = self._run("-restore", ("-w", "--noflush"), text, netns)
        if result.returncode:
            raise IptablesError(_message(result))

    def save(self) -> str:
        """Return all rules and chains in the format of iptables-save(8).

        Raises:
            IptablesError: they cannot be read.
        """
        result = self._run("-save", ())
        if result.returncode:
            raise IptablesError(_message(result))
        return os.fsdecode(result.stdout)

    def ensure(
        self,
        table: str,
        chain: str,
        rule: str,
        *,
        first: bool,
        netns: str | Path | int | None = None,
    ) -> None:
        """Add a rule to a chain of the host unless the chain has it.

        Args:
            table: the table of the chain.
            chain: such as ``FORWARD``.
            rule: the rule's arguments.
            first: insert it before the existing rules, otherwise append it.
            netns: a path or descriptor of a network namespace; None for the current one.

        Raises:
            IptablesError: the rule was rejected.
        """
        words = shlex.split(rule)
        there = self._run("", ("-w", "-t", table, "-C", chain, *words), netns=netns)
        if there.returncode == 0:
            return
        action = "-I" if first else "-A"
        result = self._run("", ("-w", "-t", table, action, chain, *words), netns=netns)
        if result.returncode:
            raise IptablesError(_message(result))

    def remove(self, table: str, chain: str, rule: str) -> None:
        """Remove all copies of a rule from a chain of the host."""
        words = shlex.split(rule)
        while self._run("", ("-w", "-t", table, "-D", chain, *words)).returncode == 0:
            pass


def _message(result: spawn.Completed) -> str:
    return "; ".join(os.fsdecode(result.stderr).splitlines()) or f"exit code {result.returncode}"


def programs() -> Iterator[Iptables]:
    """Iterate over all variants, installed or not."""
    for variant in _NAMES:
        for version in (4, 6):
            yield Iptables(version, variant)


def find(version: int) -> Iptables | None:
    """Return the first variant that works on this machine; None if none does."""
    return next((t for v in _NAMES if (t := Iptables(version, v)).works()), None)
