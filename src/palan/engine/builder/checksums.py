"""Checksums of copied files, by which the cache finds that the same files were copied before.

Modification times do not count, as with dockerd.  Blocking.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from palan.host.rootfs import follow_links, names_in


__all__ = ["Checksums", "combined"]

_PIECE: Final = 1 << 20
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CAPABILITY: Final = "security.capability"


def combined(kind: str, sums: Iterable[str]) -> str:
    """Return one checksum of several."""
    return f"{kind}:{hashlib.sha256(','.join(sums).encode()).hexdigest()}"


class Checksums:
    """The checksums of the files of one tree, which does not change; each file is read once.

    Attributes:
        root: a descriptor of the tree's root directory.
    """

    def __init__(self, root: int) -> None:
        """Begin with a tree; see :attr:`root`."""
        self.root = root
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        """Return the checksum of a file or directory; links are followed.

        Raises:
            OSError: it can't be read.
        """
        real = follow_links(self.root, path).lstrip("/")
        info = os.stat(real or ".", dir_fd=self.root, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            return f"file:{self._file(real, info)}"
        return combined("dir", sorted(self._below(real)))

    def _below(self, directory: str) -> Iterator[str]:
        pending = [directory]
        while pending:
            path = pending.pop()
            info = os.stat(path or ".", dir_fd=self.root, follow_symlinks=False)
            if path:
                yield self._file(path, info)
            if stat.S_ISDIR(info.st_mode):
                names = names_in(self.root, path)
                pending += (f"{path}/{name}" if path else name for name in names)

    def _file(self, path: str, info: os.stat_result) -> str:
        if path not in self._known:
            self._known[path] = self._computed(path, info)
        return self._known[path]

    def _computed(self, path: str, info: os.stat_result) -> str:
        link = os.readlink(path, dir_fd=self.root) if stat.S_ISLNK(info.st_mode) else ""
        size = info.st_size if stat.S_ISREG(info.st_mode) else 0
        header = (path, info.st_mode, info.st_uid, info.st_gid, size, link, info.st_rdev)
        digest = hashlib.sha256(repr(header).encode("utf-8", "surrogateescape"))
        if stat.S_ISREG(info.st_mode):
            handle = os.open(path, _READ, dir_fd=self.root)
            try:
                digest.update(_capability(handle))
                while piece := os.read(handle, _PIECE):
                    digest.update(piece)
            finally:
                os.close(handle)
        return digest.hexdigest()


def _capability(handle: int) -> bytes:
    try:
        return os.getxattr(handle, _CAPABILITY)
    except OSError:
        return b""
