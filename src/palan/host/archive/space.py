"""Stopping before a file system is full: a bomb should not take everything else down with it."""

import errno
import os
from typing import Final


__all__ = ["SpaceWatch"]

_EVERY: Final = 64 << 20
_RESERVE: Final = 64 << 20


class SpaceWatch:
    """Looks at the free space now and then while files are written."""

    def __init__(self, path: str) -> None:
        """Watch the file system that ``path`` is on."""
        self._path = path
        self._unchecked = _EVERY

    def coming(self, size: int) -> None:
        """So many bytes are about to be written.

        Raises:
            OSError: ENOSPC, when they would leave less than the reserve: 64 MiB, or a
                hundredth of a small file system.
        """
        self._unchecked += size
        if self._unchecked < _EVERY:
            return
        self._unchecked = 0
        space = os.statvfs(self._path)
        reserve = min(_RESERVE, space.f_blocks * space.f_frsize // 100)
        if space.f_bavail * space.f_frsize < size + reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
