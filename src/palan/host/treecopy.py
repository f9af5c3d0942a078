"""Copying of files between two trees, both of which containers may have filled.

Paths are without links (see :func:`palan.host.rootfs.follow_links`) and relative to descriptors of
the roots; no link below them is followed. Existing files of another kind, including links, are
replaced.
"""

# Thousands of files a second: strings and system calls, no path objects.

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Final

from palan.host import syscalls
from palan.host.filesystem import remove_tree


__all__ = ["TreeCopy", "make_directories"]

_PIECE: Final = 1 << 30
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o755
_CAPABILITY: Final = "security.capability"


def make_directories(root: int, path: str, owner: tuple[int, int] = (0, 0)) -> None:
    """Create a directory with all missing parents.

    Args:
        root: a descriptor of the root directory.
        path: without links; "" is the root itself.
        owner: user and group of created directories.

    Raises:
        OSError: a part of the path exists and is not a directory.
    """
    parts = path.split("/") if path else []
    for number in range(1, len(parts) + 1):
        here = "/".join(parts[:number])
        try:
            os.mkdir(here, _MODE, dir_fd=root)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(here, dir_fd=root).st_mode):
                raise NotADirectoryError(
                    errno.ENOTDIR, os.strerror(errno.ENOTDIR), f"/{here}"
                ) from None
            continue
        os.chmod(here, _MODE, dir_fd=root)  # whatever the umask says
        os.chown(here, *owner, dir_fd=root)


class TreeCopy:
    """Copies files from one tree into another, which a container may change meanwhile.

    Every directory is opened so that a link in its path is an error; every file is created and
    changed through the descriptor of its directory, or through its own.

    Attributes:
        owner: user and group of all copies; None to keep those of the originals.
    """

    def __init__(
        self, source: int, target: int, owner: tuple[int, int] | None, *, xattrs: bool = False
    ) -> None:
        """Prepare; copies nothing.

        Args:
            source: a descriptor of the root to copy from.
            target: a descriptor of the root to copy to.
            owner: see :attr:`owner`.
            xattrs: copy all extended attributes of files and directories; otherwise only file
                capabilities.
        """
        self._source = source
        self._target = target
        self.owner = owner
        self._xattrs = xattrs
        self._links: dict[tuple[int, int], str] = {}

    def copy_file(self, source: str, target: str) -> None:
        """Copy one file of any kind except a directory.

        Raises:
            OSError: reading or writing failed.
        """
        above, name = posixpath.split(source)
        with _opened(self._source, above) as here:
            self._copy(here, name, target, _info(here, name))

    def copy_contents(self, source: str, target: str, *, itself: bool = False) -> None:
        """Copy the entries of a directory into an existing directory.

        Args:
            source: the directory.
            target: the existing directory.
            itself: the existing directory gets owner, mode and time, too.

        Raises:
            OSError: reading or writing failed.
        """
        pending = [(source, target, False)]
        if itself:
            pending.insert(0, (source, target, True))
        while pending:
            here, there, left = pending.pop()
            with _opened(self._source, here) as reading, _opened(self._target, there) as writing:
                if left:
                    self._finish_directory(reading, writing)
                    continue
                for name in sorted(os.listdir(reading)):  # noqa: PTH208 - of a descriptor
                    info = _info(reading, name)
                    onto = f"{there}/{name}" if there else name
                    if stat.S_ISDIR(info.st_mode):
                        below = f"{here}/{name}" if here else name
                        _make_directory(writing, name)
                        # Owner and time are set after all entries are copied.
                        pending += [(below, onto, True), (below, onto, False)]
                    else:
                        self._copy(reading, name, onto, info, writing)

    def _copy(
        self, here: int, name: str, target: str, info: os.stat_result, there: int | None = None
    ) -> None:
        """Copy a file.

        Args:
            here: its directory.
            name: its name there.
            target: the path of the copy.
            info: what it is.
            there: the directory of ``target``, if it is open.
        """
        above, copy = posixpath.split(target)
        if there is None:
            with _opened(self._target, above) as opened:
                self._copy(here, name, target, info, opened)
            return
        _remove(there, copy)
        if info.st_nlink > 1:
            first = self._links.setdefault((info.st_dev, info.st_ino), target)
            if first != target:
                self._link(first, there, copy)
                return
        if stat.S_ISREG(info.st_mode):
            self._copy_regular(here, name, there, copy)
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=here), copy, dir_fd=there)
        elif stat.S_ISSOCK(info.st_mode):
            return  # a copy would have no listener
        else:
            os.mknod(copy, info.st_mode, info.st_rdev, dir_fd=there)
        self._finish_special(there, copy, info)

    def _link(self, first: str, there: int, copy: str) -> None:
        above, name = posixpath.split(first)
        with _opened(self._target, above) as directory:
            os.link(name, copy, src_dir_fd=directory, dst_dir_fd=there, follow_symlinks=False)

    def _copy_regular(self, here: int, name: str, there: int, copy: str) -> None:
        reading = os.open(name, _READ, dir_fd=here)
        try:
            writing = os.open(copy, _WRITE, 0o600, dir_fd=there)
            try:
                while os.sendfile(writing, reading, None, _PIECE):
                    pass
                info = os.fstat(reading)
                os.fchown(writing, *(self.owner or (info.st_uid, info.st_gid)))
                os.fchmod(writing, stat.S_IMODE(info.st_mode))
                if self._xattrs:
                    _copy_xattrs(reading, writing)
                else:
                    with contextlib.suppress(OSError):  # most files have none
                        os.setxattr(writing, _CAPABILITY, os.getxattr(reading, _CAPABILITY))
                os.utime(writing, ns=(info.st_mtime_ns, info.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _finish_directory(self, reading: int, writing: int) -> None:
        """Set owner, mode and time of a directory."""
        info = os.fstat(reading)
        os.fchown(writing, *(self.owner or (info.st_uid, info.st_gid)))
        os.fchmod(writing, stat.S_IMODE(info.st_mode))
        if self._xattrs:
            _copy_xattrs(reading, writing)
        os.utime(writing, ns=(info.st_mtime_ns, info.st_mtime_ns))

    def _finish_special(self, there: int, copy: str, info: os.stat_result) -> None:
        """Set owner, mode and time of a link or a device that has just been made."""
        owner = self.owner or (info.st_uid, info.st_gid)
        os.chown(copy, *owner, dir_fd=there, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            made = os.open(copy, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=there)
            try:
                if stat.S_IFMT(os.fstat(made).st_mode) == stat.S_IFMT(info.st_mode):
                    # A descriptor of this kind has no fchmod().
                    os.chmod(f"/proc/self/fd/{made}", stat.S_IMODE(info.st_mode))  # noqa: PTH101
            finally:
                os.close(made)
        times = (info.st_mtime_ns, info.st_mtime_ns)
        os.utime(copy, ns=times, dir_fd=there, follow_symlinks=False)


@contextlib.contextmanager
def _opened(root: int, path: str) -> Iterator[int]:
    """Open a directory; a link in its path is an error."""
    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    fd = syscalls.openat2(root, path or ".", os.O_RDONLY | os.O_DIRECTORY, resolve=resolve)
    try:
        yield fd
    finally:
        os.close(fd)


def _info(directory: int, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def _make_directory(directory: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        if stat.S_ISDIR(_info(directory, name).st_mode):
            return
        os.unlink(name, dir_fd=directory)
        os.mkdir(name, 0o700, dir_fd=directory)


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        remove_tree(f"/proc/self/fd/{directory}/{name}")


def _copy_xattrs(reading: int, writing: int) -> None:
    for name in os.listxattr(reading):
        with contextlib.suppress(OSError):  # not every file system has all of them
            os.setxattr(writing, name, os.getxattr(reading, name))
