"""Resource limits of processes (getrlimit(2)): their names, and the limits that we may set.

Without ``CAP_SYS_RESOURCE`` a process cannot set a limit above its own hard limit;
:func:`clamp` reduces requested limits accordingly.
"""

import resource
from collections.abc import Mapping
from typing import Final

from palan.host import capabilities


__all__ = ["INFINITY", "RESOURCES", "can_raise", "clamp", "limits", "oci_name"]

INFINITY: Final = -1
"""No limit, as in Docker's API."""

_LOCKS: Final = 10  # of no effect since Linux 2.4.25, and not in Python's module

RESOURCES: Final[Mapping[str, int]] = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": _LOCKS,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}
"""The kernel's numbers of resources, by the names that ``--ulimit`` accepts."""


def oci_name(name: str) -> str:
    """Return the name of a resource in an OCI configuration: ``RLIMIT_NOFILE``."""
    return f"RLIMIT_{name.upper()}"


def limits(name: str) -> tuple[int, int]:
    """Return our own soft and hard limit of a resource; :data:`INFINITY` for no limit."""
    return resource.getrlimit(RESOURCES[name])


def can_raise() -> bool:
    """Whether we may set limits above our own hard limits."""
    return "CAP_SYS_RESOURCE" in capabilities.effective()


def _less(one: int, other: int) -> int:
    if one == INFINITY:
        return other
    return one if other == INFINITY else min(one, other)


def clamp(name: str, soft: int, hard: int) -> tuple[int, int]:
    """Reduce a requested soft and hard limit to what we may set."""
    if not can_raise():
        hard = _less(hard, limits(name)[1])
    return _less(soft, hard), hard
