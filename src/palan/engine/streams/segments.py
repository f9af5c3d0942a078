"""The files of one log: the one that conmon writes, and the earlier ones.

The newest is ``container.log``.  Like all earlier files it has a second name (a hard link) with
a number: ``container.log.1`` is the oldest, the next ``container.log.2``, and so on.  conmon
begins another file by renaming it over ``container.log``; because of the second name nothing
is lost by that, whether the engine asked for it or conmon's limit was reached.  The engine's
work on the files (:func:`assign_number`, :func:`trim`, :func:`compress`) can be interrupted at
any moment and repeated.

Full files may be compressed, as ``container.log.3.gz``.

Operations that replace or delete files do it while they hold the log's lock, and followers have
these files open (:mod:`palan.engine.streams.openlogs`).

All functions block, shortly unless they say otherwise.
"""

import contextlib
import errno
import gzip
import os
import re
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from palan.engine.streams.openlogs import changing_log, open_log


__all__ = [
    "COMPRESSED",
    "Segment",
    "assign_number",
    "compress",
    "cut_newest",
    "numbered",
    "trim",
    "trim_ended",
]

COMPRESSED: Final = ".gz"
_BLOCK: Final = 1024 * 1024
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
"""The errors of file systems without hard links."""

_LEVEL: Final = 1
"""Logs are compressed to a tenth at any level; higher levels take three times as long."""


class Segment(NamedTuple):
    """A file of a log that has a number.

    Attributes:
        number: its number; higher ones are newer.
        path: its path.
        compressed: whether it is compressed.
    """

    number: int
    path: Path
    compressed: bool


def numbered(path: Path) -> list[Segment]:
    """Return the files of a log that have a number, oldest first."""
    pattern = re.compile(re.escape(path.name) + rf"\.(\d{{1,18}})({re.escape(COMPRESSED)})?")
    found: dict[int, Segment] = {}
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - no objects are needed
    except FileNotFoundError:
        return []
    for name in names:
        if match := pattern.fullmatch(name):
            segment = Segment(int(match[1]), path.parent / name, match[2] is not None)
            # Both exist for a moment; the compressed one is complete.
            if segment.compressed or segment.number not in found:
                found[segment.number] = segment
    return [found[number] for number in sorted(found)]


def assign_number(path: Path) -> int:
    """Give the newest file its number if it does not have one yet.

    Returns:
        The number; 0 if there is no file.
    """
    with open_log(path).lock:
        return _assign_number(path)


def _assign_number(path: Path) -> int:
    try:
        newest = path.stat()
    except FileNotFoundError:
        return 0
    segments = numbered(path)
    last = segments[-1].number if segments else 0
    if segments and os.path.samestat(segments[-1].path.stat(), newest):
        return last
    try:
        path.with_name(f"{path.name}.{last + 1}").hardlink_to(path)
    except FileNotFoundError:  # deleted, perhaps with its container
        return 0
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return 0  # the file will be lost when conmon begins another one
    return last + 1


def trim(path: Path, *, size: int, files: int) -> None:
    """Delete the oldest files of a log that exceed the limits.

    Args:
        path: the newest file.
        size: the limit of a file in bytes.  The last full file may exceed it, if it was
            written fast; then its end is kept.
        files: the limit of the number of files, the newest included.
    """
    room = size * (files - 1)
    left = files - 1
    excess: list[Path] = []
    for segment in reversed(numbered(path)):
        try:
            if _is(path, segment.path.stat()):
                continue
            length = _length(segment)
        except OSError:
            continue
        if left <= 0 or room <= 0:
            excess.append(segment.path)
            continue
        if length > room and not segment.compressed:
            if left == files - 1:
                _cut(path, segment.path, room)
            else:
                excess.append(segment.path)
            left = 0
            continue
        left -= 1
        room -= length
    if excess:
        with changing_log(path):
            for old in excess:
                old.unlink(missing_ok=True)


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False


def _length(segment: Segment) -> int:
    """Return the size of a file in bytes, uncompressed."""
    with segment.path.open("rb") as file:
        if not segment.compressed:
            return os.fstat(file.fileno()).st_size
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _cut(path: Path, file: Path, size: int) -> None:
    """Keep only the end of a complete file of a log.

    Takes as long as copying it.
    """
    temporary = _copy_end(file, size)
    with changing_log(path):
        temporary.rename(file)


def _copy_end(file: Path, size: int) -> Path:
    """Copy the end of a file, ``size`` bytes from the beginning of a record on.

    Returns:
        The copy, beside it.
    """
    temporary = file.with_name(f"{file.name}.tmp")
    with file.open("rb") as source, temporary.open("wb") as target:
        end = source.seek(0, os.SEEK_END)
        source.seek(max(0, end - size - 1))
        if end > size:
            source.readline()
        shutil.copyfileobj(source, target, _BLOCK)
        _keep_time(source.fileno(), temporary)
    return temporary


def trim_ended(path: Path, *, size: int, files: int) -> None:
    """Bring the log of an ended container within its limits.

    Its newest file may be as large as all files together should be, and has no successor.

    Args:
        path: the newest file.
        size: the limit of a file in bytes.
        files: the limit of the number of files.
    """
    try:
        length = path.stat().st_size
    except FileNotFoundError:
        return
    if length <= size:
        return
    room = size * files
    if length > room:
        cut_newest(path, room)
    room -= length
    excess: list[Path] = []
    for segment in reversed(numbered(path)[:-1]):
        with contextlib.suppress(OSError):
            room -= _length(segment)
            if room < 0:
                excess.append(segment.path)
    if excess:
        with changing_log(path):
            for old in excess:
                old.unlink(missing_ok=True)


def cut_newest(path: Path, size: int) -> None:
    """Keep only the end of the newest file of an ended container; its number stays."""
    _assign_number(path)
    temporary = _copy_end(path, size)
    with changing_log(path):
        for segment in numbered(path):
            with contextlib.suppress(FileNotFoundError):
                if _is(path, segment.path.stat()):
                    # Its other name is removed first, so that no part exists twice if the
                    # engine is killed now.
                    segment.path.unlink()
        temporary.rename(path)
        _assign_number(path)


def _keep_time(fd: int, copy: Path) -> None:
    status = os.fstat(fd)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def compress(path: Path, segment: Segment) -> None:
    """Compress a complete file of the log ``path``.  Takes some 10 ms for each MB."""
    target = segment.path.with_name(segment.path.name + COMPRESSED)
    temporary = segment.path.with_name(target.name + ".tmp")
    try:
        with segment.path.open("rb") as source, gzip.open(temporary, "wb", _LEVEL) as out:
            shutil.copyfileobj(source, out, _BLOCK)
        with segment.path.open("rb") as source:
            _keep_time(source.fileno(), temporary)
            with changing_log(path):
                # It may have been deleted or cut meanwhile, perhaps with its container.
                if _is(segment.path, os.fstat(source.fileno())):
                    temporary.rename(target)
                    segment.path.unlink()
                else:
                    temporary.unlink()
    except FileNotFoundError:
        temporary.unlink(missing_ok=True)
