"""Disk space held in reserve, so that objects can still be removed on a full disk.

A removal writes to the database before it deletes files. On a full disk that write would
fail, and the engine could not free any space.
"""

import contextlib
import os
from pathlib import Path
from typing import Final


__all__ = ["Reserve"]

_SIZE: Final = 2 << 20
_MIN_FREE: Final = 8 * _SIZE
"""Free space in bytes below which no space is reserved, to leave it to other programs."""


class Reserve:
    """A file of fixed size that only occupies disk space."""

    def __init__(self, path: Path) -> None:
        """Reserve the space if the disk has room for it."""
        self._path = path
        self._held = False
        self.restore()

    def release(self) -> bool:
        """Free the space; return whether there was any to free."""
        if not self._held:
            return False
        self._path.unlink(missing_ok=True)
        self._held = False
        return True

    def restore(self) -> None:
        """Reserve the space again if the disk has room for it."""
        if self._held:
            return
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size == _SIZE:
                self._held = True
                return
            space = os.statvfs(self._path.parent)
            if space.f_bavail * space.f_frsize < _MIN_FREE:
                return
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, _SIZE)
            finally:
                os.close(handle)
            self._held = True
