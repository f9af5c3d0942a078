"""Reading of a root file system that is controlled by a container.

Symbolic links are followed as a process inside would follow them, and never lead out of the
root (``openat2(2)`` with ``RESOLVE_IN_ROOT``).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from palan.host import syscalls


__all__ = ["follow_links", "lookup", "names_in", "open_directory", "read_text"]

LIMIT: Final = 4 * 1024 * 1024
"""Maximum bytes to read of a file; no passwd file is larger than this."""

_MAX_LINKS: Final = 255

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
    """Return the text of a regular file; "" if there is no such file."""
    # Without opening it at first: that would block for a FIFO, and some devices act when opened.
    found = _open(root, path, os.O_PATH)
    if found is None:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return ""
        with Path(f"/proc/self/fd/{found}").open("rb") as file:
            return file.read(LIMIT).decode(errors="replace")
    finally:
        os.close(found)


@contextlib.contextmanager
def open_directory(root: Path, path: str) -> Iterator[int | None]:
    """Yield a descriptor of a directory, or None if there is no such directory."""
    fd = _open(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def names_in(root: int, path: str) -> list[str]:
    """Return the names in a directory, sorted.

    Args:
        root: a descriptor of the root directory.
        path: the directory, relative and without links; "" is the root.

    Raises:
        OSError: it cannot be read.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(path or ".", flags, dir_fd=root)
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - of a descriptor
    finally:
        os.close(directory)


def lookup(root: int, path: str, *, follow: bool) -> int:
    """Return a descriptor (``O_PATH``) of ``path``.

    Args:
        root: a descriptor of the root directory.
        path: as a process inside would name it, starting at ``/``.
        follow: follow a link at the end of the path; a trailing slash has the same effect.

    Raises:
        OSError: the path does not exist.
    """
    flags = os.O_PATH | (0 if follow else os.O_NOFOLLOW)
    resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(root, path, flags, resolve=resolve)


def follow_links(root: int, path: str) -> str:
    """Return ``path`` with all links resolved, as far as the path exists.

    Components that do not exist are kept unchanged.

    Raises:
        OSError: ``ELOOP``, too many links.
    """
    here: list[str] = []
    pending = path.split("/")[::-1]
    links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del here[-1:]
            continue
        target = _link_target(root, "/".join([*here, part]))
        if target is None:
            here.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            here = []
        pending.extend(target.split("/")[::-1])
    return "/" + "/".join(here)


def _link_target(root: int, path: str) -> str | None:
    try:
        fd = lookup(root, path, follow=False)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
