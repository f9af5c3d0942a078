"""Directory trees as tar streams: the reverse of ``extract``.

It runs in the confined child (:mod:`palan.host.archive.child`): files are opened by path, and only
the child's changed root directory prevents a tree that is modified at the same time from leading
it elsewhere.
"""

# Thousands of files a second: strings and system calls, no path objects.
# ruff: noqa: PTH115

import os
import stat
from collections.abc import Iterator
from typing import Final

from palan.host.archive.extract import OPAQUE, WHITEOUT
from palan.host.archive.headers import BLOCK, Entry, Kind, encode_header


__all__ = ["END", "Packer"]

_PIECE: Final = 256 << 10
END: Final = bytes(2 * BLOCK)
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT_XATTRS: Final = frozenset(
    ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
)


_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}


class Packer:
    """Packs the files below one directory.

    Entries are sorted by name, a directory before its entries. Sockets are omitted, as a copy would
    have no listener.
    """

    def __init__(
        self,
        root: str,
        *,
        prefix: str = "",
        whiteouts: bool = False,
        opaque_xattr: str = "trusted.overlay.opaque",
    ) -> None:
        """Prepare; reads nothing.

        Args:
            root: a directory, or another file, which is then the only entry.
            prefix: the name of ``root`` in the archive; "" omits its own entry, and
                "/" begins all names with a slash.
            whiteouts: ``root`` is the upper directory of an overlay: write its whiteouts in the
                form of an image layer.
            opaque_xattr: the attribute of an opaque directory in an overlay.
        """
        self._root = root
        self._own = bool(prefix)
        self._prefix = prefix.strip("/")
        self._start = "/" if prefix == "/" else f"{self._prefix}/" if self._prefix else ""
        self._whiteouts = whiteouts
        self._opaque_xattr = opaque_xattr
        self._links: dict[tuple[int, int], str] = {}

    def pieces(self) -> Iterator[bytes]:
        """Yield the archive."""
        for entry, content in self.entries():
            yield encode_header(entry)
            yield from content
            if entry.stored % BLOCK:
                yield bytes(-entry.stored % BLOCK)
        yield END

    def entries(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield the entries; the content of each has to be read before the next."""
        info = os.lstat(self._root)
        if self._own:
            yield from self._entry(self._root, self._prefix, info)
        if stat.S_ISDIR(info.st_mode):
            yield from self._below()

    def _below(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        pending = self._children("")
        while pending:
            path, regular = pending.pop()
            full, name = f"{self._root}/{path}", self._start + path
            if regular:
                yield from self._regular(full, name)
                continue
            try:
                info = os.lstat(full)
            except FileNotFoundError:  # removed since the directory was read
                continue
            yield from self._entry(full, name, info)
            if stat.S_ISDIR(info.st_mode):
                pending += self._children(path)

    def _children(self, path: str) -> list[tuple[str, bool]]:
        """List a directory in reverse order, and tell for each entry if it is a regular file."""
        try:
            with os.scandir(f"{self._root}/{path}") as found:
                entries = [(entry.name, entry.is_file(follow_symlinks=False)) for entry in found]
        except (FileNotFoundError, NotADirectoryError):
            return []
        entries.sort(reverse=True)
        start = f"{path}/" if path else ""
        return [(start + name, regular) for name, regular in entries]

    def _entry(
        self, full: str, name: str, info: os.stat_result
    ) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return
        if kind == Kind.CHARACTER and self._whiteouts and info.st_rdev == 0:
            yield self._whiteout(name, info), iter(())
            return
        if kind == Kind.FILE:
            yield from self._regular(full, name)
            return
        entry = self._describe(name, kind, info)
        entry.xattrs = _xattrs(full)
        if kind == Kind.DIRECTORY:
            entry.name += "/"
        elif info.st_nlink > 1 and self._link(entry, info):
            pass
        elif kind == Kind.SYMLINK:
            entry.linkname = os.readlink(full)
        elif kind in (Kind.CHARACTER, Kind.BLOCK):
            entry.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
        yield entry, iter(())
        if kind == Kind.DIRECTORY and self._whiteouts and self._is_opaque(full):
            yield self._whiteout(f"{name}/{OPAQUE[len(WHITEOUT) :]}", info), iter(())

    def _describe(self, name: str, kind: str, info: os.stat_result) -> Entry:
        return Entry(
            name,
            kind,
            mode=stat.S_IMODE(info.st_mode),
            uid=info.st_uid,
            gid=info.st_gid,
            mtime_ns=_whole_seconds(info),
        )

    def _link(self, entry: Entry, info: os.stat_result) -> bool:
        """Turn ``entry`` into a hard link if the archive already has the file."""
        first = self._links.setdefault((info.st_dev, info.st_ino), entry.name)
        if first == entry.name:
            return False
        entry.kind = Kind.HARDLINK
        entry.linkname = first
        return True

    def _whiteout(self, name: str, info: os.stat_result) -> Entry:
        directory, _, last = name.rpartition("/")
        hidden = f"{directory}/{WHITEOUT}{last}" if directory else WHITEOUT + last
        return Entry(hidden, mode=0o600, mtime_ns=_whole_seconds(info))

    def _is_opaque(self, full: str) -> bool:
        try:
            return os.getxattr(full, self._opaque_xattr, follow_symlinks=False) == b"y"
        except OSError:
            return False

    def _regular(self, full: str, name: str) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Yield a regular file; it is opened without a preceding lstat()."""
        try:
            handle = os.open(full, _READ)
        except FileNotFoundError:  # removed since the directory was read
            return
        except OSError:
            info = os.lstat(full)
            if stat.S_ISREG(info.st_mode):
                raise
            yield from self._entry(full, name, info)  # it was replaced by another kind of file
            return
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                return
            entry = self._describe(name, Kind.FILE, info)
            entry.xattrs = _xattrs(handle)
            if info.st_nlink > 1 and self._link(entry, info):
                yield entry, iter(())
                return
            entry.size = entry.stored = info.st_size
            yield entry, _content(handle, info.st_size)
        finally:
            os.close(handle)


def _whole_seconds(info: os.stat_result) -> int:
    """Return the time in whole seconds: a fraction would require an extended header."""
    return info.st_mtime_ns // 10**9 * 10**9


def _content(handle: int, remaining: int) -> Iterator[bytes]:
    while remaining:
        piece = os.read(handle, min(remaining, _PIECE))
        if not piece:  # the file shrank: pad it to its announced size
            piece = bytes(min(remaining, _PIECE))
        remaining -= len(piece)
        yield piece


def _xattrs(file: str | int) -> dict[str, bytes]:
    follow = isinstance(file, int)  # a descriptor cannot be a link
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError:
        return {}
    found = {}
    for name in names:
        if name in _KEPT_XATTRS or (
            name.startswith("user.") and not name.startswith("user.overlay.")
        ):
            try:
                found[name] = os.getxattr(file, name, follow_symlinks=follow)
            except OSError:
                continue
    return found
