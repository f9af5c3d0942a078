"""Reading a root file system that somebody else controls.

Its symbolic links are followed as a process inside would follow them and never lead
out of it (``openat2(2)`` with ``RESOLVE_IN_ROOT``).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from palan.host import syscalls


__all__ = ["open_directory", "read_text"]

LIMIT: Final = 4 * 1024 * 1024
"""A passwd larger than this is no passwd."""

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def _open(root: Path, path: str, flags: int) -> int | None:
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(top, path, flags, resolve=syscalls.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    finally:
        os.close(top)


def read_text(root: Path, path: str) -> str:
    """The text of a regular file; empty if there is none."""
    # Non-blocking, lest a FIFO in its place holds us up.
    fd = _open(root, path, os.O_RDONLY | os.O_NONBLOCK)
    if fd is None:
        return ""
    # A directory's descriptor can't be made a file, not even to look what it is.
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return ""
    with os.fdopen(fd, "rb") as file:
        return file.read(LIMIT).decode(errors="replace")


@contextlib.contextmanager
def open_directory(root: Path, path: str) -> Iterator[int | None]:
    """A descriptor of a directory, or None if there is no such directory."""
    fd = _open(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)
