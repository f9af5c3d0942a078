"""Packet filter rules, through the ``nft`` program.

A script is one transaction: all of it takes effect at once, or nothing.  Rules live in
a network namespace, so a script can be run inside of one.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from palan.host import spawn
from palan.host.namespaces import run_in_netns


__all__ = ["NftError", "available", "dropping_chains", "list_table", "run", "why_unavailable"]

_TIMEOUT: Final = 60.0
_MISSING: Final = "No such file or directory"


class NftError(Exception):
    """The rules were refused; nothing was changed.

    Attributes:
        message: what nft said about it.
        script: what it was given.
    """

    def __init__(self, message: str, script: str) -> None:
        super().__init__(f"nft: {message}")
        self.message = message
        self.script = script


def _nft(
    arguments: Sequence[str], script: str | None, netns: str | Path | int | None
) -> spawn.Completed:
    def start() -> spawn.Completed:
        given = None if script is None else script.encode()
        return spawn.run(["nft", *arguments], input=given, timeout=_TIMEOUT)

    return start() if netns is None else run_in_netns(netns, start)


def _message(result: spawn.Completed) -> str:
    lines = os.fsdecode(result.stderr).splitlines()
    # nft shows the offending line below each message, which is of no use in a log.
    told = [line for line in lines if "rror:" in line]
    return "; ".join(told) or "; ".join(lines) or f"exit code {result.returncode}"


def run(script: str, *, netns: str | Path | int | None = None) -> None:
    """Carry out a script, all of it or nothing.

    Args:
        script: in the language of nft(8).
        netns: a path or descriptor of a network namespace; None for ours.

    Raises:
        NftError: it was refused.
        OSError: nft could not be started.
    """
    result = _nft(["-f", "-"], script, netns)
    if result.returncode:
        raise NftError(_message(result), script)


def list_table(
    family: str, name: str, *, netns: str | Path | int | None = None
) -> list[dict[str, Any]] | None:
    """All that is in a table.

    Args:
        family: such as ``ip``, ``ip6``, ``inet`` or ``bridge``.
        name: of the table.
        netns: a path or descriptor of a network namespace; None for ours.

    Returns:
        the objects as in libnftables-json(5), each under its kind: ``{"chain": {...}}``;
        None when there is no such table.

    Raises:
        NftError: it cannot be listed.
        OSError: nft could not be started.
    """
    arguments = ["-j", "-a", "list", "table", family, name]
    result = _nft(arguments, None, netns)
    if result.returncode:
        message = _message(result)
        if _MISSING in message:
            return None
        raise NftError(message, " ".join(arguments))
    found: list[dict[str, Any]] = json.loads(result.stdout)["nftables"]
    return [entry for entry in found if "metainfo" not in entry]


def dropping_chains(hook: str, *, netns: str | Path | int | None = None) -> list[str]:
    """Chains that drop what no rule of theirs accepts, whatever rules of other tables say.

    Args:
        hook: such as ``forward``.
        netns: a path or descriptor of a network namespace; None for ours.

    Returns:
        such as ``ip filter FORWARD``; none where they can't be listed.

    Raises:
        OSError: nft could not be started.
    """
    result = _nft(["-j", "list", "chains"], None, netns)
    if result.returncode:
        return []
    found = [entry.get("chain", {}) for entry in json.loads(result.stdout)["nftables"]]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in found
        if chain.get("hook") == hook and chain.get("policy") == "drop"
    ]


def why_unavailable(*, netns: str | Path | int | None = None) -> str | None:
    """Why rules for address translation cannot be made; None when they can.

    A table is made with what is needed and deleted in the same transaction, so that
    nobody ever sees it.
    """
    if shutil.which("nft") is None:
        return "the nft program is not installed"
    table = f"ip palan-probe-{os.getpid()}"
    script = f"""
        add table {table}
        add chain {table} post {{ type nat hook postrouting priority 100; }}
        add chain {table} pre {{ type nat hook prerouting priority -100; }}
        add map {table} ports {{ type inet_service : ipv4_addr . inet_service; }}
        add rule {table} post ip saddr 192.0.2.0/24 masquerade
        add rule {table} pre dnat to tcp dport map @ports
        add rule {table} pre udp dport 53 redirect to :1053
        delete table {table}
    """
    try:
        run(script, netns=netns)
    except NftError as error:
        return error.message
    except OSError as error:
        return f"nft could not be started: {error}"
    return None


def available(*, netns: str | Path | int | None = None) -> bool:
    """Whether rules for address translation can be made."""
    return why_unavailable(netns=netns) is None
