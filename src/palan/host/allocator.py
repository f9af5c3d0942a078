"""Settings of the C library's memory allocator."""

import contextlib
import ctypes
from typing import Final


__all__ = ["return_freed_memory"]

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""See mallopt(3)."""


def return_freed_memory() -> None:
    """Let the allocator return large freed blocks to the kernel.

    glibc raises both thresholds with the largest block that was freed, and makes an arena for
    each thread: after one large request the process would keep the memory for ever. Other C
    libraries have no such settings.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1024 * 1024)
        mallopt(_M_TRIM_THRESHOLD, 1024 * 1024)
        mallopt(_M_ARENA_MAX, 2)
