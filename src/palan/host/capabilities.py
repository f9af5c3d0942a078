"""Capabilities (capabilities(7)): their names and numbers, and those of this process."""

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
"""All capabilities and their numbers, ordered by number."""

_STATUS: Final = Path("/proc/thread-self/status")
_LAST: Final = Path("/proc/sys/kernel/cap_last_cap")


def from_mask(mask: int) -> list[str]:
    """Return the names of the capabilities in a mask; unnamed bits are ignored."""
    return [name for name, number in CAPABILITIES.items() if mask >> number & 1]


def to_mask(names: list[str]) -> int:
    """Return the mask of the named capabilities.

    Raises:
        KeyError: no such capability.
    """
    return sum(1 << CAPABILITIES[name] for name in set(names))


def _own(field: str) -> list[str]:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return from_mask(int(value, 16))
    return []


def bounding() -> list[str]:
    """Return the bounding set: the most that this process and its children can have."""
    return _own("CapBnd")


def effective() -> list[str]:
    """Return the effective set: the capabilities that this process has now."""
    return _own("CapEff")


def known() -> list[str]:
    """Return the capabilities that this kernel knows; an older one lacks the last ones."""
    try:
        last = int(_LAST.read_text())
    except (OSError, ValueError):
        last = len(_NAMES) - 1
    return [name for name, number in CAPABILITIES.items() if number <= last]
