"""Packet filter rules through the iptables programs, legacy or on top of nf_tables.

They are used where nftables itself can't be.
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
"""What the distribution has chosen, then the variants by name."""


class IptablesError(Exception):
    """The rules were refused; in each table, nothing was changed.

    Attributes:
        message: what the program said.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"iptables: {message}")
        self.message = message


class Iptables:
    """The programs of one variant for one version of IP.

    Args:
        version: 4 or 6.
        variant: such as ``-legacy``; empty for what the distribution has chosen.
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
        """Whether addresses can be translated with it."""
        try:
            return self._run("", ("-w", "-t", "nat", "-n", "-L", "POSTROUTING")).returncode == 0
        except OSError:
            return False

    def restore(self, text: str, *, netns: str | Path | int | None = None) -> None:
        """Carry out changes; chains that are not named stay as they are.

        Args:
            text: in the language of iptables-restore(8).
            netns: a path or descriptor of a network namespace; None for ours.

        Raises:
            IptablesError: they were refused.
            OSError: the program could not be started.
        """
        result = self._run("-restore", ("-w", "--noflush"), text, netns)
        if result.returncode:
            raise IptablesError(_message(result))

    def save(self) -> str:
        """All rules and chains, in that language.

        Raises:
            IptablesError: they can't be read.
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
        """Have a rule in a chain of the host's.

        Args:
            table: of the chain.
            chain: such as ``FORWARD``.
            rule: what it is.
            first: before those that are there; else after them.
            netns: a path or descriptor of a network namespace; None for ours.

        Raises:
            IptablesError: it was refused.
        """
        words = shlex.split(rule)
        there = self._run("", ("-w", "-t", table, "-C", chain, *words), netns=netns)
        if there.returncode == 0:
            return
        action = "-I" if first else "-A"
        result = self._run("", ("-w", "-t", table, action, chain, *words), netns=netns)
        if result.returncode:
            raise IptablesError(_message(result))

    def drop(self, table: str, chain: str, rule: str) -> None:
        """Have a rule in a chain of the host's no more."""
        words = shlex.split(rule)
        while self._run("", ("-w", "-t", table, "-D", chain, *words)).returncode == 0:
            pass


def _message(result: spawn.Completed) -> str:
    return "; ".join(os.fsdecode(result.stderr).splitlines()) or f"exit code {result.returncode}"


def programs() -> Iterator[Iptables]:
    """All that there may be, installed or not."""
    for variant in _NAMES:
        for version in (4, 6):
            yield Iptables(version, variant)


def find(version: int) -> Iptables | None:
    """The first variant that works here; None if there is none."""
    return next((t for v in _NAMES if (t := Iptables(version, v)).works()), None)
