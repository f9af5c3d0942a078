"""A limit for disk space, so that an archive bomb does not fill the file system."""

import errno
import os
from typing import Final


__all__ = ["SpaceWatch"]

_EVERY: Final = 64 << 20
_RESERVE: Final = 64 << 20


class SpaceWatch:
    """Checks the free space from time to time while files are written."""

    def __init__(self, path: str) -> None:
        """Watch the file system of ``path``."""
        self._path = path
        self._unchecked = _EVERY

    def check(self, size: int) -> None:
        """Account for bytes that are about to be written.

        Raises:
            OSError: ENOSPC, if they would leave less free space than the reserve: 64 MiB, or a
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
