"""Capabilities (capabilities(7)): their names and numbers, and which of them we have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final


__all__ = ["CAPABILITIES", "bounding", "effective", "from_mask", "known", "to_mask"]

_NAMES: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

CAPABILITIES: Final[Mapping[str, int]] = {name: number for number, name in enumerate(_NAMES)}
"""All capabilities with their numbers, in the order of these."""

_STATUS: Final = Path("/proc/thread-self/status")
_LAST: Final = Path("/proc/sys/kernel/cap_last_cap")


def from_mask(mask: int) -> list[str]:
    """The names of the capabilities in a set; bits without a name are left out."""
    return [name for name, number in CAPABILITIES.items() if mask >> number & 1]


def to_mask(names: list[str]) -> int:
    """The set of the named capabilities.

    Raises:
        KeyError: there is no such capability.
    """
    return sum(1 << CAPABILITIES[name] for name in set(names))


def _own(field: str) -> list[str]:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return from_mask(int(value, 16))
    return []


def bounding() -> list[str]:
    """The capabilities that we, and whatever we start, can have at most."""
    return _own("CapBnd")


def effective() -> list[str]:
    """The capabilities that we have now."""
    return _own("CapEff")


def known() -> list[str]:
    """The capabilities that this kernel knows; an older one lacks the last."""
    try:
        last = int(_LAST.read_text())
    except (OSError, ValueError):
        last = len(_NAMES) - 1
    return [name for name, number in CAPABILITIES.items() if number <= last]
