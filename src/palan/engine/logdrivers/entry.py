"""A parser that splits conmon's log into lines, for drivers that send them to a receiver.

Lines above 16 KiB are split into pieces, as dockerd does.  The parser reports a position from
which another one can continue later, see :attr:`EntryParser.resume`.
"""

import secrets
from datetime import datetime
from typing import Final, NamedTuple

from palan.engine.streams.logfile import LONGEST, PREFIX, split_records


__all__ = ["Entry", "EntryParser", "Partial"]

_SECONDS: Final = len("2026-11-23T13:00:00")
_FRACTION: Final = len("2026-11-23T13:00:00.123456789")
_TIME: Final = len("2026-11-23T13:00:00.123456789+00:00")
_STREAM: Final = slice(_TIME, PREFIX - 2)
_TAG: Final = slice(PREFIX - 2, PREFIX)
_STREAMS: Final = {b" stdout ": "stdout", b" stderr ": "stderr"}


class Partial(NamedTuple):
    """The position of a piece in a long line.

    Attributes:
        id: the same for all pieces of a line.
        ordinal: the number of the piece, from 1 on.
        last: whether it ends the line.
    """

    id: str
    ordinal: int
    last: bool


class Entry(NamedTuple):
    """A line, or a piece of one, without its newline.

    Attributes:
        time: nanoseconds since the epoch.
        source: ``stdout`` or ``stderr``.
        line: the bytes that were written.
        partial: None for a whole line.
    """

    time: int
    source: str
    line: bytes
    partial: Partial | None = None

    @property
    def text(self) -> str:
        """The line as text; invalid UTF-8 is replaced."""
        return self.line.decode("utf-8", "replace")


class _Line:
    """A line of one stream that has not ended yet."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.data = bytearray()
        self.time = 0
        self.id = ""
        self.pieces = 0


class EntryParser:
    """Splits a log into lines, in whatever blocks its bytes are fed.

    Args:
        position: the position in the log of the first byte that is fed.
        skip: the number of bytes in which ending lines are dropped; lines that begin there
            and end later are not.
    """

    def __init__(self, position: int, skip: int = 0) -> None:
        self._position = position
        self._skip_until = position + skip
        self._rest = b""
        self._lines: dict[str, _Line] = {}
        self._second = b""
        self._epoch = 0

    @property
    def resume(self) -> tuple[int, int]:
        """The ``position`` and ``skip`` of another parser that continues here."""
        start = min((line.start for line in self._lines.values()), default=self._position)
        return start, max(self._position, self._skip_until) - start

    def feed(self, data: bytes) -> list[Entry]:
        """Add the next bytes of the log; return the lines that end in them."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        entries: list[Entry] = []
        for record in data[:end].split(b"\n")[:-1]:
            for whole in split_records(record):
                self._add(whole, entries)
            self._position += len(record) + 1
        return entries

    def finish(self) -> list[Entry]:
        """Return the unfinished lines, at the end of the log."""
        entries: list[Entry] = []
        for source, line in self._lines.items():
            self._emit(entries, source, line, whole=True)
        self._lines.clear()
        return entries

    def _add(self, record: bytes, entries: list[Entry]) -> None:
        source, tag = _STREAMS.get(record[_STREAM]), record[_TAG]
        if source is None or tag not in (b"F ", b"P "):
            return  # an incomplete record, as a full disk leaves it
        whole = tag == b"F "
        skipped = self._position < self._skip_until
        line = self._lines.get(source)
        if whole and line is None and not skipped and len(record) - PREFIX <= LONGEST:
            entries.append(Entry(self._time(record), source, record[PREFIX:]))
            return
        if line is None:
            line = self._lines[source] = _Line(self._position)
        line.data += record[PREFIX:]
        line.time = self._time(record)
        if whole and skipped:
            del self._lines[source]
        elif whole:
            self._emit(entries, source, line, whole=True)
            del self._lines[source]
        elif len(line.data) >= LONGEST and not skipped:
            self._emit(entries, source, line, whole=False)
            line.start = self._position

    @staticmethod
    def _emit(entries: list[Entry], source: str, line: _Line, *, whole: bool) -> None:
        """Append a line to ``entries``, or as much of it as fills whole pieces."""
        data = line.data
        while len(data) > LONGEST or (data and not whole and len(data) == LONGEST):
            line.id = line.id or secrets.token_hex(32)
            line.pieces += 1
            piece = Partial(line.id, line.pieces, last=False)
            entries.append(Entry(line.time, source, bytes(data[:LONGEST]), piece))
            del data[:LONGEST]
        if whole and (data or not line.pieces):
            last = Partial(line.id, line.pieces + 1, last=True) if line.pieces else None
            entries.append(Entry(line.time, source, bytes(data), last))

    def _time(self, record: bytes) -> int:
        second = record[:_SECONDS] + record[_FRACTION:_TIME]
        try:
            if second != self._second:
                self._epoch = int(datetime.fromisoformat(second.decode("ascii")).timestamp())
                self._second = second
            return self._epoch * 10**9 + int(record[_SECONDS + 1 : _FRACTION])
        except ValueError:
            return self._epoch * 10**9
