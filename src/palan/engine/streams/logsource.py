"""Finding places in a log without reading all of it: the last lines, a point in time.

A log that is rotated consists of ``path``, ``path.1`` (the one before), ``path.2`` and
so on.  :class:`LogSource` opens them once and shows them as one run of bytes, oldest
first, so that what is searched for may lie in any of them.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, Self

from palan.engine.streams.logfile import PREFIX, record_time


__all__ = ["LogSource"]

BLOCK: Final = 64 * 1024

_ATTEMPTS: Final = 10


def _open(path: str | Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


class LogSource:
    """The files of one log, as they are when it is opened.  Blocking.

    Attributes:
        size: how many bytes there are in all, as of the last look at the newest file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fds: list[int] = []
        self._starts: list[int] = []
        self.size = 0
        for _ in range(_ATTEMPTS):
            self._open_all()
            if not self.moved():  # not rotated under our hands
                break
            self.close()
        self.refresh()

    def _open_all(self) -> None:
        newest = _open(self.path)
        older: list[int] = []
        while (fd := _open(f"{self.path}.{len(older) + 1}")) is not None:
            older.append(fd)
        if newest is not None and older and os.path.sameopenfile(newest, older[0]):
            os.close(older.pop(0))  # in the middle of a rotation, see logs.rotate
        self._fds = [*reversed(older), *([] if newest is None else [newest])]
        self._has_newest = newest is not None
        self._starts = []
        position = 0
        for fd in self._fds:
            self._starts.append(position)
            position += os.fstat(fd).st_size
        self.size = position

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; idempotent."""
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._fds = []
        self._starts = []
        self._has_newest = False

    def refresh(self) -> int:
        """Look how far the newest file has grown; the size of all."""
        if self._fds:
            self.size = self._starts[-1] + os.fstat(self._fds[-1]).st_size
        return self.size

    def moved(self) -> bool:
        """Whether ``path`` is another file by now than the newest that we have."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        if not self._has_newest:
            return True
        ours = os.fstat(self._fds[-1])
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def renew(self) -> bool:
        """Go on with the file that ``path`` is now, at its beginning, and forget the others.

        Returns:
            False if there is none.
        """
        fd = _open(self.path)
        if fd is None:
            return False
        self.close()
        self._fds, self._starts, self._has_newest = [fd], [0], True
        self.refresh()
        return True

    def read(self, position: int, length: int) -> bytes:
        """At most ``length`` bytes from ``position`` on, all from one file; empty at the end."""
        for fd, start in zip(reversed(self._fds), reversed(self._starts), strict=True):
            if position >= start:
                return os.pread(fd, length, position - start)
        return b""

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
        """Where the last ``count`` lines of the wanted streams begin.

        Returns:
            ``(start, skip)``: read from ``start`` on; lines that end within the first
            ``skip`` bytes do not count, they are read for the beginnings of longer lines.
        """
        if count <= 0:
            return self.size, 0
        names = tuple(
            name for name, wanted in ((b" stdout ", stdout), (b" stderr ", stderr)) if wanted
        )
        found, end, rest = 0, self.size, b""
        unfinished: set[bytes] = set(names)  # whose last line may lack its end
        while end > 0:
            start = max(0, end - BLOCK)
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
                        return self._with_beginnings(position)
                    unfinished.discard(name)
                position -= len(record) + 1
            end = start
        return 0, 0

    def _with_beginnings(self, position: int) -> tuple[int, int]:
        """A little before ``position``, if lines that end after it may begin there."""
        start = max(0, position - BLOCK)
        window = self._exactly(start, position)
        if b" P " not in window:
            return position, 0
        if start > 0:
            start += window.find(b"\n") + 1
        return start, position - start

    def seek_time(self, moment: int) -> int:
        """A place before everything that is as new as ``moment`` (nanoseconds), and not far.

        Relies on times going forward; where a clock was set back, more may be left out.
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
        """The first whole record at or after ``position``: where it is, and its time."""
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
