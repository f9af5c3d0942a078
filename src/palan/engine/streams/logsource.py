"""Finds positions in a log without reading all of it: the last lines, a point in time.

A log that is rotated consists of several files (:mod:`palan.engine.streams.segments`).
:class:`LogSource` opens them once and presents them as one sequence of bytes, oldest first.
"""

import contextlib
import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final, Self

from palan.engine.streams.logfile import PREFIX, record_time
from palan.engine.streams.segments import COMPRESSED, numbered


__all__ = ["LogSource"]

BLOCK: Final = 64 * 1024

FIRST: Final = 16 * 1024
"""Bytes in which the last lines are searched for first; then the blocks grow."""

_ATTEMPTS: Final = 10
_COPY: Final = 1024 * 1024


class _Part:
    """An open file of a log.

    Attributes:
        start: its position in the whole log.
        number: its number among the files; 0 if it has no number yet.
        compressed: whether it is compressed, and was not inflated yet.
        status: its inode, by which it is recognised, and its times.
    """

    def __init__(self, fd: int, *, number: int, compressed: bool) -> None:
        self._fd = fd
        self.start = 0
        self.number = number
        self.compressed = compressed
        self.status = os.fstat(fd)

    @property
    def size(self) -> int:
        """Its size in bytes, uncompressed."""
        if self.compressed:
            return int.from_bytes(os.pread(self._fd, 4, self.status.st_size - 4), "little")
        return os.fstat(self._fd).st_size

    def read(self, at: int, length: int) -> bytes:
        """Return at most ``length`` bytes; a compressed file is inflated first."""
        if self.compressed:
            self._inflate()
        return os.pread(self._fd, length, at)

    def _inflate(self) -> None:
        with (
            os.fdopen(self._fd, "rb") as raw,
            gzip.GzipFile(fileobj=raw) as source,
            tempfile.TemporaryFile() as target,
        ):
            shutil.copyfileobj(source, target, _COPY)
            target.flush()
            self._fd = os.dup(target.fileno())
        self.compressed = False

    def is_same(self, other: "_Part") -> bool:
        """Whether it is the same file, even if that was cut or compressed meanwhile."""
        if self.number and other.number:
            return self.number == other.number
        return os.path.samestat(self.status, other.status)

    def is_newer(self, other: "_Part") -> bool:
        """Whether it came after another file, which no longer exists."""
        if self.number and other.number:
            return self.number > other.number
        return self.status.st_mtime_ns > other.status.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _open(path: Path, *, number: int = 0, compressed: bool = False) -> _Part | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    return _Part(fd, number=number, compressed=compressed)


def _open_all(path: Path) -> list[_Part]:
    """Open all files of a log, oldest first."""
    newest = _open(path)
    parts: list[_Part] = []
    for segment in numbered(path):
        part = _open(segment.path, number=segment.number, compressed=segment.compressed)
        if part is None and not segment.compressed:  # it has just been compressed
            whole = segment.path.with_name(segment.path.name + COMPRESSED)
            part = _open(whole, number=segment.number, compressed=True)
        if part is not None:
            parts.append(part)
    if newest is not None:
        if any(os.path.samestat(part.status, newest.status) for part in parts):
            newest.close()
        else:
            parts.append(newest)
    return parts


class LogSource:
    """The files of one log, as they were when it was opened.  Blocking.

    Attributes:
        size: the number of bytes in all files at the last :meth:`refresh`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: list[_Part] = []
        self.size = 0
        self.extend()

    def extend(self, position: int = 0) -> None:
        """Open the files that came after those that are open.

        Args:
            position: bytes before it are not read any more.
        """
        for _ in range(_ATTEMPTS):
            self._extend()
            if not self.moved():  # not rotated meanwhile
                break
        while len(self._parts) > 1 and self._parts[1].start <= position:
            self._parts.pop(0).close()
        self.refresh()

    def _extend(self) -> None:
        found = _open_all(self.path)
        if self._parts:
            last = self._parts[-1]
            here = [n + 1 for n, part in enumerate(found) if part.is_same(last)]
            newer = [n for n, part in enumerate(found) if part.is_newer(last)]
            # If they can't be distinguished, the last one is the newest.
            after = (here or newer or [len(found) - 1])[0]
            for part in found[:after]:
                part.close()
            if here:
                last.number = found[after - 1].number
            found = found[after:]
        for part in found:
            if self._parts:
                part.start = self._parts[-1].start + self._parts[-1].size
            self._parts.append(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; idempotent."""
        for part in self._parts:
            with contextlib.suppress(OSError):
                part.close()
        self._parts = []

    def refresh(self) -> int:
        """Update and return :attr:`size`, as the newest file may have grown."""
        if self._parts:
            self.size = self._parts[-1].start + self._parts[-1].size
        return self.size

    def moved(self) -> bool:
        """Whether ``path`` has become another file than the newest one that is open."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return not self._parts or not os.path.samestat(there, self._parts[-1].status)

    def restart(self) -> None:
        """Open ``path`` again, from its beginning: it was truncated."""
        self.close()
        newest = _open(self.path)
        self._parts = [] if newest is None else [newest]
        self.size = 0
        self.refresh()

    def locate(self, position: int) -> tuple[int, int, int]:
        """Return the number and inode of the file at a position, and the offset in it."""
        part = self._part(position)
        if part is None:
            return 0, 0, 0
        return part.number, part.status.st_ino, position - part.start

    def find(self, number: int, inode: int, offset: int) -> int | None:
        """Return the position of an offset in a file; None if the file is gone or was cut."""
        for part in self._parts:
            same = part.number == number if number else part.status.st_ino == inode
            if same and (part.status.st_ino == inode or part.compressed) and offset <= part.size:
                return part.start + offset
        return None

    def is_slow(self, position: int) -> bool:
        """Whether a file must be inflated to read there."""
        part = self._part(position)
        return part is not None and part.compressed

    def _part(self, position: int) -> _Part | None:
        for part in reversed(self._parts):
            if position >= part.start:
                return part
        return None

    def read(self, position: int, length: int) -> bytes:
        """Return at most ``length`` bytes from one file; empty at the end of the log."""
        part = self._part(position)
        return b"" if part is None else part.read(position - part.start, length)

    def _exactly(self, start: int, end: int) -> bytes:
        parts = []
        while start < end:
            part = self.read(start, end - start)
            if not part:
                break
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def tail(self, count: int, *, stdout: bool = True, stderr: bool = True) -> tuple[int, int]:
        """Find the position of the last ``count`` lines of the selected streams.

        Returns:
            ``(start, skip)``: read from ``start`` on, and drop lines that end within the first
            ``skip`` bytes, which are only read for the beginnings of longer lines.
        """
        if count <= 0:
            return self.size, 0
        names = tuple(
            name for name, wanted in ((b" stdout ", stdout), (b" stderr ", stderr)) if wanted
        )
        found, end, rest, step = 0, self.size, b"", FIRST
        unfinished: set[bytes] = set(names)  # streams whose last line may be unfinished
        open_ended: set[bytes] = set()  # streams whose first line may have begun earlier
        while end > 0:
            start = max(0, end - step)
            step = min(step * 4, BLOCK)
            block = self._exactly(start, end) + rest
            if start > 0:
                cut = block.find(b"\n") + 1
                if cut == 0:
                    rest, end = block, start
                    continue
                rest, block = block[:cut], block[cut:]
            else:
                cut = 0
            position = start + cut + len(block)
            # Not splitlines(): a carriage return does not end a record.
            *records, torn = block.split(b"\n")
            position -= len(torn)
            for record in reversed(records):
                name, tag = record[PREFIX - 10 : PREFIX - 2], record[PREFIX - 2 : PREFIX]
                if name in names and (tag == b"F " or (tag == b"P " and name in unfinished)):
                    found += 1
                    if found > count:
                        open_ended.discard(name)  # the previous line of the stream ends here
                        return self._with_beginnings(position) if open_ended else (position, 0)
                    unfinished.discard(name)
                    open_ended.add(name)
                position -= len(record) + 1
            end = start
        return 0, 0

    def _with_beginnings(self, position: int) -> tuple[int, int]:
        """Return an earlier start for lines that may begin before ``position`` and end after it."""
        start = max(0, position - BLOCK)
        window = self._exactly(start, position)
        if b" P " not in window:
            return position, 0
        if start > 0:
            start += window.find(b"\n") + 1
        return start, position - start

    def seek_time(self, moment: int) -> int:
        """Return a position shortly before the first record of ``moment`` (nanoseconds) or later.

        Assumes that times increase; where a clock was set back, records may be missed.
        """
        low, high = 0, self.size
        while high - low > BLOCK:
            middle = (low + high) // 2
            found = self._first_record(middle, high)
            if found is None:
                high = middle
                continue
            position, time = found
            if time < moment:
                low = position
            else:
                high = middle
        return low

    def _first_record(self, position: int, end: int) -> tuple[int, int] | None:
        """Return position and time of the first whole record at or after ``position``."""
        window = self._exactly(position, min(end, position + BLOCK))
        at = window.find(b"\n") + 1
        while 0 < at < len(window):
            stop = window.find(b"\n", at)
            if stop < 0:
                return None
            time = record_time(window[at:stop])
            if time is not None:
                return position + at, time
            at = stop + 1
        return None
