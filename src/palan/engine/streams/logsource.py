"""Finds positions in a log without reading all of it: the last lines, a point in time.

A log that is rotated consists of several files (:mod:`palan.engine.streams.segments`).
:class:`LogSource` opens them once and presents them as one sequence of bytes, oldest first.
"""

import contextlib
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from palan.engine.streams.logfile import PREFIX, record_time, split_records
from palan.engine.streams.openlogs import open_log
from palan.engine.streams.segments import Segment, numbered


__all__ = ["LogSource"]

BLOCK: Final = 64 * 1024

FIRST: Final = 16 * 1024
"""Bytes in which the last lines are searched for first; then the blocks grow."""

_HELD_FILES: Final = 32
_HELD_BYTES: Final = 256 * 1024 * 1024
"""The files that a follower has not read and that are kept for it, although the log's limits are
exceeded: at most so many, and no more once they have so many bytes.  A follower that is further
behind misses lines."""

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

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _open(path: Path, segment: Segment | None = None) -> _Part | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if segment is None:
        return _Part(fd, number=0, compressed=False)
    return _Part(fd, number=segment.number, compressed=segment.compressed)


def _identities(path: Path) -> dict[tuple[int, int], Segment]:
    """Return the files of a log that have a number, by their inodes, oldest first."""
    found = {}
    for segment in numbered(path):
        with contextlib.suppress(FileNotFoundError):  # the whole container is being removed
            found[_identity(segment.path.stat())] = segment
    return found


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lengths(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the records of lines backwards, and by how much earlier each one begins.

    Records on one line count as beginning with the line, as they are read together.
    """
    for line in reversed(lines):
        *others, last = split_records(line)
        yield last, len(line) + 1
        for record in reversed(others):
            yield record, 0


class LogSource:
    """The files of one log, as they were when it was opened.  Blocking.

    Args:
        path: the newest file; it need not exist.
        follow: whether files that come later will be read, so that they must not be deleted
            before they were opened.

    Attributes:
        size: the number of bytes in all files at the last :meth:`refresh`.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        self.path = path
        self._log = open_log(path)
        self._parts: list[_Part] = []
        self._number = 0
        """The highest number that a file which was opened has had."""

        self._newest: tuple[int, int] | None = None
        """The inode that ``path`` had when new files were last opened."""

        self._position = 0
        """The position that was last read."""

        self.size = 0
        with self._log.lock:
            self._open_new()
            if follow:
                self._log.followers.add(self)
        self.refresh()

    def extend(self, position: int = 0) -> None:
        """Open the files that came after those that are open.

        Args:
            position: bytes before it are not read any more.
        """
        with self._log.lock:
            self._open_new()
            while len(self._parts) > 1 and self._parts[1].start <= position:
                self._parts.pop(0).close()
        self.refresh()

    def catch_up(self) -> None:
        """Open new files like :meth:`extend`, unless many wait to be read already.

        Called in any thread, with the log's lock held.
        """
        waiting = [part.size for part in self._parts if part.start > self._position]
        self._open_new(
            only_numbers=len(waiting) >= _HELD_FILES or sum(waiting) >= _HELD_BYTES,
        )

    def _open_new(self, *, only_numbers: bool = False) -> None:
        """Open the files that are newer than those that are open; learn the numbers of all."""
        there = _identities(self.path)
        opened = {_identity(part.status) for part in self._parts}
        for part in self._parts:  # they had no number while they were the newest
            if (segment := there.get(_identity(part.status))) is not None:
                part.number = segment.number
                self._number = max(self._number, part.number)
        if only_numbers:
            return
        newest = _open(self.path)
        with contextlib.ExitStack() as stack:
            if newest is not None:
                stack.callback(newest.close)
            for segment in there.values():
                if segment.number > self._number:
                    self._append(_open(segment.path, segment))
            identity = None if newest is None else _identity(newest.status)
            # If it has a number, it is among the others, or it is the end of one that was open.
            if identity not in there and identity not in opened:
                self._append(newest)
                stack.pop_all()
            self._newest = identity

    def _append(self, part: _Part | None) -> None:
        if part is None:
            return
        if self._parts:
            part.start = self._parts[-1].start + self._parts[-1].size
        self._parts.append(part)
        self._number = max(self._number, part.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; idempotent."""
        with self._log.lock:
            self._log.followers.discard(self)
            self._close_parts()

    def _close_parts(self) -> None:
        for part in self._parts:
            with contextlib.suppress(OSError):
                part.close()
        self._parts = []

    def refresh(self) -> int:
        """Update and return :attr:`size`, as the newest file may have grown."""
        if self._parts:
            self.size = self._parts[-1].start + self._parts[-1].size
        return self.size

    def moved(self, position: int = 0) -> bool:
        """Whether to call :meth:`extend`: there is a new file, or one was read to its end.

        Args:
            position: bytes before it are not read any more.
        """
        if len(self._parts) > 1 and self._parts[1].start <= position:
            return True
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return _identity(there) != self._newest

    def restart(self) -> None:
        """Open ``path`` again, from its beginning: it was truncated."""
        with self._log.lock:
            self._close_parts()
            newest = _open(self.path)
            if newest is not None:
                self._newest = _identity(newest.status)
                self._parts = [newest]
        self.size = 0
        self.refresh()

    def locate(self, position: int) -> tuple[int, int, int]:
        """Return the number and inode of the file at a position, and the offset in it."""
        part = self._part(position)
        if part is None:
            return 0, 0, 0
        return part.number, part.status.st_ino, position - part.start

    def find(self, number: int, inode: int, offset: int) -> int | None:
        """Return the position of an offset in a file; None if the file is gone.

        If the file was cut, that is the position of its beginning.
        """
        for part in self._parts:
            here = part.status.st_ino == inode
            if number and part.number == number and not (here or part.compressed):
                return part.start  # it was cut: its end was kept
            if (part.number == number if number else here) and offset <= part.size:
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
        self._position = position
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
            for record, length in _lengths(records):
                name, tag = record[PREFIX - 10 : PREFIX - 2], record[PREFIX - 2 : PREFIX]
                if name in names and (tag == b"F " or (tag == b"P " and name in unfinished)):
                    found += 1
                    if found > count:
                        open_ended.discard(name)  # the previous line of the stream ends here
                        return self._with_beginnings(position) if open_ended else (position, 0)
                    unfinished.discard(name)
                    open_ended.add(name)
                position -= length
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
