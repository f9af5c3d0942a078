"""A little space that is kept back, so that what fills a disk can still be deleted.

Deleting is written down before it is done, and on a full disk there would be no room to
write in: nothing could be removed any more by the engine's own means.
"""

import contextlib
import os
from pathlib import Path
from typing import Final


__all__ = ["Reserve"]

_SIZE: Final = 2 << 20
_ROOM: Final = 8 * _SIZE
"""With less than that free, nothing is taken away from others."""


class Reserve:
    """A file that holds nothing but space."""

    def __init__(self, path: Path) -> None:
        """Keep the space, if there is any."""
        self._path = path
        self._kept = False
        self.restore()

    def release(self) -> bool:
        """Give the space up; whether there was any."""
        if not self._kept:
            return False
        self._path.unlink(missing_ok=True)
        self._kept = False
        return True

    def restore(self) -> None:
        """Keep it again, as soon as there is room."""
        if self._kept:
            return
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size == _SIZE:
                self._kept = True
                return
            space = os.statvfs(self._path.parent)
            if space.f_bavail * space.f_frsize < _ROOM:
                return
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, _SIZE)
            finally:
                os.close(handle)
            self._kept = True
