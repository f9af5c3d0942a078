"""Copying of files between two trees, both of which containers may have filled.

Nothing changes them during the copy. Paths are without links (see
:func:`palan.host.rootfs.follow_links`) and relative to descriptors of the roots; no link below
them is followed. Existing files of another kind, including links, are replaced.
"""

# Thousands of files a second: strings and system calls, no path objects.

import contextlib
import errno
import os
import stat
from typing import Final

from palan.host.filesystem import remove_tree
from palan.host.rootfs import names_in


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
    """Copies files from one tree into another.

    Attributes:
        owner: user and group of all copies; None to keep those of the originals.
    """

    def __init__(self, source: int, target: int, owner: tuple[int, int] | None) -> None:
        """Prepare; copies nothing.

        Args:
            source: a descriptor of the root to copy from.
            target: a descriptor of the root to copy to.
            owner: see :attr:`owner`.
        """
        self._source = source
        self._target = target
        self.owner = owner
        self._links: dict[tuple[int, int], str] = {}

    def copy_file(self, source: str, target: str) -> None:
        """Copy one file of any kind except a directory.

        Raises:
            OSError: reading or writing failed.
        """
        self._copy(source, target, self._stat(source))

    def copy_contents(self, source: str, target: str) -> None:
        """Copy the entries of a directory into an existing directory.

        Raises:
            OSError: reading or writing failed.
        """
        pending = [(source, target, False)]
        while pending:
            here, there, left = pending.pop()
            if left:
                self._set_metadata(there, self._stat(here))
                continue
            for name in names_in(self._source, here):
                below = f"{here}/{name}" if here else name
                onto = f"{there}/{name}" if there else name
                info = self._stat(below)
                if stat.S_ISDIR(info.st_mode):
                    self._make_directory(onto)
                    # Owner and time are set after all entries are copied.
                    pending += [(below, onto, True), (below, onto, False)]
                else:
                    self._copy(below, onto, info)

    def _stat(self, path: str) -> os.stat_result:
        return os.stat(path or ".", dir_fd=self._source, follow_symlinks=False)

    def _make_directory(self, path: str) -> None:
        try:
            os.mkdir(path, 0o700, dir_fd=self._target)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path, dir_fd=self._target).st_mode):
                return
            os.unlink(path, dir_fd=self._target)
            os.mkdir(path, 0o700, dir_fd=self._target)

    def _copy(self, source: str, target: str, info: os.stat_result) -> None:
        self._remove(target)
        if info.st_nlink > 1:
            first = self._links.setdefault((info.st_dev, info.st_ino), target)
            if first != target:
                os.link(
                    first,
                    target,
                    src_dir_fd=self._target,
                    dst_dir_fd=self._target,
                    follow_symlinks=False,
                )
                return
        if stat.S_ISREG(info.st_mode):
            self._copy_regular(source, target)
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source, dir_fd=self._source), target, dir_fd=self._target)
        elif stat.S_ISSOCK(info.st_mode):
            return  # a copy would have no listener
        else:
            os.mknod(target, info.st_mode, info.st_rdev, dir_fd=self._target)
        self._set_metadata(target, info)

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path, dir_fd=self._target)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            remove_tree(f"/proc/self/fd/{self._target}/{path}")

    def _copy_regular(self, source: str, target: str) -> None:
        reading = os.open(source, _READ, dir_fd=self._source)
        try:
            writing = os.open(target, _WRITE, 0o600, dir_fd=self._target)
            try:
                while os.sendfile(writing, reading, None, _PIECE):
                    pass
                info = os.fstat(reading)
                os.fchown(writing, *(self.owner or (info.st_uid, info.st_gid)))
                os.fchmod(writing, stat.S_IMODE(info.st_mode))
                with contextlib.suppress(OSError):  # most files have none
                    os.setxattr(writing, _CAPABILITY, os.getxattr(reading, _CAPABILITY))
                os.utime(writing, ns=(info.st_mtime_ns, info.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _set_metadata(self, target: str, info: os.stat_result) -> None:
        """Set owner, mode and time of a file that is not regular."""
        owner = self.owner or (info.st_uid, info.st_gid)
        os.chown(target, *owner, dir_fd=self._target, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            os.chmod(target, stat.S_IMODE(info.st_mode), dir_fd=self._target)
        times = (info.st_mtime_ns, info.st_mtime_ns)
        os.utime(target, ns=times, dir_fd=self._target, follow_symlinks=False)
