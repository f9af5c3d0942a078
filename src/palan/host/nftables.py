"""Packet filter rules by means of the ``nft`` program.

A script is one transaction: it takes effect as a whole or not at all. Rules belong to a network
namespace, so a script can be run inside of one.
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
    """The rules were rejected; nothing was changed.

    Attributes:
        message: error output of nft.
        script: the script that nft received.
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
    # nft repeats the offending line below each message, which does not help in a log.
    errors = [line for line in lines if "rror:" in line]
    return "; ".join(errors) or "; ".join(lines) or f"exit code {result.returncode}"


def run(script: str, *, netns: str | Path | int | None = None) -> None:
    """Apply a script in one transaction.

    Args:
        script: in the language of nft(8).
        netns: a path or descriptor of a network namespace; None for the current one.

    Raises:
        NftError: the script was rejected.
        OSError: nft could not be started.
    """
    result = _nft(["-f", "-"], script, netns)
    if result.returncode:
        raise NftError(_message(result), script)


def list_table(
    family: str, name: str, *, netns: str | Path | int | None = None
) -> list[dict[str, Any]] | None:
    """Return the content of a table.

    Args:
        family: such as ``ip``, ``ip6``, ``inet`` or ``bridge``.
        name: the name of the table.
        netns: a path or descriptor of a network namespace; None for the current one.

    Returns:
        The objects as in libnftables-json(5), each under its kind: ``{"chain": {...}}``;
        None if there is no such table.

    Raises:
        NftError: nft could not list it.
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
    """Return chains with the policy ``drop``, which overrides accepting rules of other tables.

    Args:
        hook: such as ``forward``.
        netns: a path or descriptor of a network namespace; None for the current one.

    Returns:
        Names such as ``ip filter FORWARD``; [] if chains cannot be listed.

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
    """Return why rules for address translation cannot be made; None if they can.

    The probe creates a table with all that is needed and deletes it in the same transaction,
    so that it never takes effect.
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
