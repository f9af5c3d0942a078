"""Capabilities: Docker's default set, ``CapAdd`` and ``CapDrop``, and the bounding set.

A known capability that is missing from the engine's bounding set cannot be given to a
container.  It is left out and reported: an error would prevent every privileged container on
such a machine.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from palan.api.errors import InvalidParameter


__all__ = [
    "DEFAULT",
    "KNOWN",
    "from_mask",
    "granted",
    "missing_warnings",
    "normalize",
    "oci_capabilities",
    "wanted",
]

_IN_ORDER_OF_BITS: Final = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT: Final = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
"""

KNOWN: Final = tuple(f"CAP_{name}" for name in _IN_ORDER_OF_BITS.split())
"""All capabilities in the kernel's order (capabilities(7), linux/capability.h)."""

DEFAULT: Final = tuple(f"CAP_{name}" for name in _DEFAULT.split())
"""The capabilities of a container without ``CapAdd`` and ``CapDrop``."""

_ALL: Final = "ALL"


def from_mask(mask: int) -> frozenset[str]:
    """Return the names in a bit mask, such as ``CapBnd`` of /proc/self/status."""
    return frozenset(name for bit, name in enumerate(KNOWN) if mask >> bit & 1)


def normalize(names: Iterable[str], what: str) -> list[str]:
    """Return names in capitals that begin with ``CAP_``; ``ALL`` stays as it is.

    Args:
        names: the names in any case, with or without ``CAP_``.
        what: ``CapAdd`` or ``CapDrop``, for the error.

    Raises:
        InvalidParameter: a name is unknown; in dockerd's words.
    """
    normal: list[str] = []
    for name in names:
        upper = name.upper()
        if upper != _ALL and not upper.startswith("CAP_"):
            upper = f"CAP_{upper}"
        if upper != _ALL and upper not in KNOWN:
            raise InvalidParameter(f'invalid {what}: unknown capability: "{upper}"')
        normal.append(upper)
    return normal


def wanted(
    add: Iterable[str] | None, drop: Iterable[str] | None, *, privileged: bool = False
) -> tuple[str, ...]:
    """Return the capabilities that a container asks for, whether or not the machine has them.

    ``ALL`` in ``add`` gives all except those dropped; otherwise ``ALL`` in ``drop`` leaves only
    those added.  A capability that is both added and dropped by name is added.

    Raises:
        InvalidParameter: a name is unknown.
    """
    added, dropped = normalize(add or (), "CapAdd"), normalize(drop or (), "CapDrop")
    if privileged:
        return KNOWN
    if _ALL in added:
        return tuple(name for name in KNOWN if name not in dropped)
    kept = () if _ALL in dropped else (name for name in DEFAULT if name not in dropped)
    return tuple(dict.fromkeys([*kept, *added]))


def granted(names: Iterable[str], bounding: Collection[str]) -> tuple[str, ...]:
    """Return those of ``names`` that the bounding set has."""
    return tuple(name for name in names if name in bounding)


def missing_warnings(
    add: Iterable[str] | None, bounding: Collection[str], *, privileged: bool = False
) -> list[str]:
    """Return warnings about capabilities that were asked for and are missing on the machine."""
    asked = normalize(add or (), "CapAdd")
    if privileged or _ALL in asked:
        asked = list(KNOWN)
    missing = [name for name in dict.fromkeys(asked) if name not in bounding]
    if not missing:
        return []
    return [
        "Capabilities that are not available in the current environment were left out: "
        + ", ".join(missing)
    ]


def oci_capabilities(names: Iterable[str]) -> dict[str, Any]:
    """Return ``process.capabilities`` of a runtime spec, the same for all users.

    Users other than root lose them when the program is executed, because none is inheritable or
    ambient, but keep those that the program's file has: with no-new-privileges, only if they were
    permitted before.
    """
    capabilities = list(names)
    return {
        "bounding": capabilities,
        "effective": list(capabilities),
        "permitted": list(capabilities),
        "inheritable": [],
        "ambient": [],
    }
