"""The changes in the upper directory of an overlay, compared with the layers below it.

The upper directory may belong to a running container that modifies it at the same time, so no
link in it is followed. Layers do not change; a directory of a layer is read only if every
directory above it is a real one, so no link is followed there either.

A file counts as modified if its metadata differ: opening a file for writing copies it up
without changing it. A directory also counts as modified if something in it is changed.
"""

# Thousands of files a second: strings and system calls, no path objects.
# ruff: noqa: PTH208

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import syscalls


__all__ = ["ADDED", "DELETED", "MODIFIED", "Change", "changes"]

MODIFIED: Final = 0
ADDED: Final = 1
DELETED: Final = 2

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE: Final = "trusted.overlay.opaque"
_CAPABILITY: Final = "security.capability"
# A directory that was removed or replaced, or is deeper than PATH_MAX.
_SKIPPED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV)

_Listed = Sequence[tuple[str, frozenset[str]]]
_Below = list[tuple[str, os.stat_result]]


@dataclass(frozen=True, slots=True)
class Change:
    """A path, beginning with a slash, and the kind of its change."""

    path: str
    kind: int


@dataclass(slots=True)
class _Entry:
    """An entry of the upper directory, or one that is missing there.

    Attributes:
        path: its path, beginning with a slash.
        parent: the directory that contains it; None for the topmost.
        kind: the kind of its change; None for a directory that is unchanged itself.
        lowers: for a directory that is still to be read: the lower directories it is merged with.
        touched: it is changed, or something in it is.
    """

    path: str
    parent: "_Entry | None"
    kind: int | None = None
    lowers: list[str] | None = None
    touched: bool = False


def changes(upper: Path, lowers: Sequence[Path]) -> list[Change]:
    """Return all changes; a directory comes before its entries.

    Args:
        upper: the upper directory of the overlay.
        lowers: the layers below it, topmost first.

    Raises:
        OSError: something cannot be read; entries that disappear are ignored.
    """
    found: list[_Entry] = []
    top = _Entry("", None, lowers=[str(layer) for layer in lowers])
    root = os.open(upper, _DIRECTORY)
    try:
        pending = [top]
        while pending:
            entry = pending.pop()
            if entry is not top:
                found.append(entry)
            if entry.kind is not None:
                _touch(entry)
            if entry.lowers is not None:
                pending += reversed(_look_into(root, entry, entry.lowers))
                entry.lowers = None
    finally:
        os.close(root)
    return [
        Change(entry.path, MODIFIED if entry.kind is None else entry.kind)
        for entry in found
        if entry.touched
    ]


def _touch(entry: _Entry | None) -> None:
    while entry is not None and not entry.touched:
        entry.touched = True
        entry = entry.parent


def _look_into(root: int, directory: _Entry, lowers: list[str]) -> list[_Entry]:
    try:
        handle = syscalls.openat2(
            root, Path(directory.path[1:] or "."), _DIRECTORY, resolve=syscalls.RESOLVE_NO_SYMLINKS
        )
    except OSError as error:
        if error.errno in _SKIPPED:
            return []
        raise
    try:
        return list(_entries(handle, directory, lowers))
    finally:
        os.close(handle)


def _entries(handle: int, directory: _Entry, lowers: list[str]) -> Iterator[_Entry]:
    names = sorted(os.listdir(handle))
    listed = [(lower, frozenset(os.listdir(lower))) for lower in lowers]
    hidden: list[str] = []
    for name in names:
        try:
            info = os.lstat(name, dir_fd=handle)
        except FileNotFoundError:
            continue
        if _is_whiteout(info):
            hidden.append(name)
            continue
        entry = _compare(handle, directory, name, info, list(_find(listed, name)))
        if entry.kind is not None or entry.lowers is not None:
            yield entry
    if _is_opaque(handle):
        hidden += {name for _, entries in listed for name in entries}.difference(names)
    for name in sorted(hidden):
        if next(_find(listed, name), None) is not None:
            yield _Entry(f"{directory.path}/{name}", directory, DELETED)


def _compare(
    handle: int, directory: _Entry, name: str, info: os.stat_result, below: _Below
) -> _Entry:
    entry = _Entry(f"{directory.path}/{name}", directory)
    if not below:
        entry.kind = ADDED
    elif _differ(info, below[0][1]) or _capability_differs(handle, name, below[0][0]):
        entry.kind = MODIFIED
    if stat.S_ISDIR(info.st_mode):
        entry.lowers = [full for full, what in below if stat.S_ISDIR(what.st_mode)]
    return entry


def _find(listed: _Listed, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """Iterate over the entries for a name in the layers, as far as they are visible."""
    above = False
    for lower, entries in listed:
        if name not in entries:
            continue
        full = f"{lower}/{name}"
        info = os.lstat(full)
        is_directory = stat.S_ISDIR(info.st_mode)
        if _is_whiteout(info) or (above and not is_directory):
            return
        yield full, info
        above = True
        if not is_directory or _is_opaque(full):
            return


def _is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and not info.st_rdev


def _is_opaque(directory: int | str) -> bool:
    try:
        return os.getxattr(directory, _OPAQUE) == b"y"
    except OSError:
        return False


def _differ(new: os.stat_result, old: os.stat_result) -> bool:
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (
        (old.st_mode, old.st_uid, old.st_gid, old.st_rdev)
    ):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return (new.st_mtime_ns, new.st_size) != (old.st_mtime_ns, old.st_size)


def _capability_differs(handle: int, name: str, lower: str) -> bool:
    return _capability(f"/proc/self/fd/{handle}/{name}") != _capability(lower)


def _capability(path: str) -> bytes:
    try:
        return os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return b""
