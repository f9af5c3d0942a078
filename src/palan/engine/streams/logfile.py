"""conmon's log format, and the frames that Docker's clients expect.  No I/O.

A record is a line of conmon's ``k8s-file`` driver::

    2026-11-23T13:00:00.123456789+00:00 stdout F a whole line
    2026-11-23T13:00:00.123456789+00:00 stdout P a piece of a line

The time has a fixed width and is in conmon's time zone; clients get UTC.  A piece ends where
conmon's read from the container ended without a newline; the line continues in the next record
of the same stream.  As dockerd does, the pieces are joined, and a line is
sent when it is complete, has 16 KiB, or the log has ended.

If the disk is full, conmon drops the end of a record, and the next record follows on the same
line (:func:`split_records`).

Whole lines are by far the most common.  A block of whole lines only takes a few operations on
bytes and one list comprehension; everything else is processed record by record.
"""

import contextlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

from palan.api.frames import STDERR, STDOUT


__all__ = ["PREFIX", "LogFramer", "LogOptions", "record_time", "split_records"]

PREFIX: Final = len("2026-11-23T13:00:00.123456789+00:00 stdout F ")
"""The number of bytes before the content of a record."""

LONGEST: Final = 16 * 1024
"""Lines longer than this are sent in pieces (dockerd's limit)."""

_DAY: Final = len("2026-11-23T")
_SECONDS: Final = len("2026-11-23T13:00:00")
_FRACTION: Final = len("2026-11-23T13:00:00.123456789")
_TIME: Final = len("2026-11-23T13:00:00.123456789+00:00")
_STREAM_AT: Final = _TIME + len(" std")  # the first byte in which stdout and stderr differ
_TAG_AT: Final = _TIME + len(" stdout ")
_OUT: Final = ord("o")
_ERR: Final = ord("e")
_STREAMS: Final = {b" stdout ": STDOUT, b" stderr ": STDERR}
_TAGS: Final = (b"F ", b"P ")
_PIECES: Final = (b" stdout P ", b" stderr P ")
_CONTENT: Final = itemgetter(slice(PREFIX, None))
_UTC: Final = b"+00:00"
_HEADER: Final = struct.Struct(">BxxxL")
_PREFIX_PART: Final = b"0 std"
"""A part of each prefix, which the text of a line seldom has.  If a record was cut off behind its
day, this is in the text of the line."""

_BEGIN: Final = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d std(?:out|err) [FP] "
)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The selection of records from a log, and their format.

    Attributes:
        stdout: whether to include stdout.
        stderr: whether to include stderr.
        tty: bytes, as there is only one stream; otherwise frames.
        timestamps: whether each line begins with its time.
        details: a text before each line, after the time; None for no text.
        since: the earliest time, in nanoseconds since the epoch; None for no limit.
        until: the latest time, likewise.
        eager: whether to send unfinished lines at once, for a client at a terminal.
    """

    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    timestamps: bool = False
    details: bytes | None = None
    since: int | None = None
    until: int | None = None
    eager: bool = False


def record_time(record: bytes) -> int | None:
    """Return the time of a record in nanoseconds since the epoch; None if it is not a record."""
    try:
        moment = datetime.fromisoformat(
            (record[:_SECONDS] + record[_FRACTION:_TIME]).decode("ascii")
        )
        if moment.tzinfo is None or record[_SECONDS : _SECONDS + 1] != b".":
            return None
        return int(moment.timestamp()) * 10**9 + int(record[_SECONDS + 1 : _FRACTION])
    except ValueError:
        return None


def split_records(line: bytes) -> list[bytes]:
    """Return the records in a line of the log: one, or more if some of them were cut off.

    A container may write text that looks like a record, but then with an earlier time than that
    of the record in which it is.  What is left of a record counts as a whole line.
    """
    is_record = _is_record(line)
    if is_record and line.count(b" std") < 2:
        return [line]
    found: list[bytes] = []
    start = 0
    for match in _BEGIN.finditer(line, 1):
        at = match.start()
        if is_record and (record_time(line[at:]) or 0) <= (record_time(line[start:]) or 0):
            continue
        if at - start > PREFIX and is_record:
            found.append(line[start : start + PREFIX - 2] + b"F " + line[start + PREFIX : at])
        start, is_record = at, True
    return [*found, line[start:]]


def _is_record(line: bytes) -> bool:
    return line[_TIME:_TAG_AT] in _STREAMS and line[_TAG_AT:PREFIX] in _TAGS


def _stamp(record: bytes) -> bytes:
    """Return the time of a record as dockerd prints it: in UTC, with nine digits."""
    if record[_FRACTION:_TIME] == _UTC:
        return record[:_FRACTION] + b"Z "
    moment = datetime.fromisoformat((record[:_SECONDS] + record[_FRACTION:_TIME]).decode("ascii"))
    day = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
    return day + record[_SECONDS:_FRACTION] + b"Z "


class _Headers(dict[int, bytes]):
    """Headers of frames by the length of the record, built when first needed."""

    def __init__(self, stream: int, extra: int) -> None:
        super().__init__()
        self._stream = stream
        self._extra = extra + 1 - PREFIX  # 1: the newline, which the record was split at

    def __missing__(self, length: int) -> bytes:
        if length < PREFIX:
            raise ValueError(length)
        header = self[length] = _HEADER.pack(self._stream, length + self._extra)
        return header


class _NoHeaders(dict[int, bytes]):
    """Empty headers for a TTY; a record without prefix still raises an error."""

    def __missing__(self, length: int) -> bytes:
        if length < PREFIX:
            raise ValueError(length)
        self[length] = b""
        return b""


class LogFramer:
    """Converts a log to a client's frames, in whatever pieces its bytes are fed.

    Args:
        options: the selection and format.
        skip: the number of bytes that are only read for the beginnings of lines which end
            later; lines that end within them are dropped.

    Attributes:
        done: whether ``until`` was passed, so that no more output follows.
    """

    def __init__(self, options: LogOptions, *, skip: int = 0) -> None:
        self.done = False
        self._options = options
        self._skip = skip
        self._rest = b""
        self._lines: dict[int, bytearray] = {}
        self._stamps: dict[int, bytes] = {}
        self._middle: set[int] = set()
        self._since = options.since
        details = options.details or b""
        self._details = details
        extra = len(details) + (_FRACTION + len("Z ") if options.timestamps else 0)
        make: Callable[[int], dict[int, bytes]] = (
            (lambda _: _NoHeaders()) if options.tty else (lambda stream: _Headers(stream, extra))
        )
        self._stdout = make(STDOUT)
        self._stderr = make(STDERR)

    def feed(self, data: bytes) -> bytes:
        """Add the next bytes of the log; return the output that is complete."""
        if self.done:
            return b""
        end = data.rfind(b"\n")
        if end < 0:
            self._rest += data
            return b""
        block = self._rest + data[:end] if self._rest else data[:end]
        self._rest = data[end + 1 :]
        if self._skip or not self._is_wanted(block):
            return self._convert_records(block)
        return self._convert_runs(block)

    def finish(self) -> bytes:
        """Return the unfinished lines, at the end of the log."""
        self._rest = b""
        out = [self._flush(stream, b"") for stream in list(self._lines)]
        self._middle.clear()
        return b"".join(out)

    def _is_wanted(self, block: bytes) -> bool:
        """Whether all of a block is within the selected times, and needs no conversion."""
        options = self._options
        if self._since is not None:
            first = record_time(block)
            if first is None or first < self._since:
                return False
            self._since = None  # times increase, so all later records are selected
        if options.until is not None:
            last = record_time(block[block.rfind(b"\n") + 1 :])
            if last is None or last > options.until:
                return False
        return not options.timestamps or block[_FRACTION:_TIME] == _UTC

    def _convert_runs(self, block: bytes) -> bytes:
        """Convert runs of whole lines at once, and lines in pieces record by record.

        A text that looks like a part of a prefix makes this slower, not wrong.
        """
        out: list[bytes] = []
        size, start = len(block), 0
        marks = {mark: block.find(mark) for mark in _PIECES}
        while start < size:
            if not (self._lines or self._middle):
                ahead = size + 1
                for mark, at in marks.items():
                    found = block.find(mark, start) if 0 <= at < start else at
                    marks[mark] = found
                    if found >= 0:
                        ahead = min(ahead, max(start, block.rfind(b"\n", start, found) + 1))
                if ahead > start:
                    out.append(self._run(block[start : ahead - 1]))
                    start = ahead
                    continue
            end = block.find(b"\n", start)
            end = size if end < 0 else end
            out.append(self._convert_records(block[start:end]))
            start = end + 1
        return b"".join(out)

    def _run(self, block: bytes) -> bytes:
        with contextlib.suppress(ValueError):
            data = self._convert_lines(block)
            if _PREFIX_PART not in data:
                return data
        # Records that were cut off, or text that looks like a record.
        return self._convert_records(block)

    def _convert_lines(self, block: bytes) -> bytes:
        options, out, details = self._options, self._stdout, self._details
        lines = block.split(b"\n")
        if block.count(b"\n" + block[:_DAY]) != len(lines) - 1:
            raise ValueError(block)  # a record was cut off within its day, or it is another day
        if b" stderr F " in block:
            heads = self._headers_of(lines)
        elif not options.stdout:
            return b""
        elif not (options.timestamps or details):
            # No bytecode runs for each line, which halves the time.
            parts = [b"\n"] * (3 * len(lines))
            parts[::3] = map(out.__getitem__, map(len, lines))
            parts[1::3] = map(_CONTENT, lines)
            return b"".join(parts)
        else:
            heads = [out[len(line)] for line in lines]
        if options.timestamps:
            between = b"Z " + details
            parts = [
                head + line[:_FRACTION] + between + line[PREFIX:]
                for head, line in zip(heads, lines, strict=True)
            ]
        else:
            parts = [
                head + details + line[PREFIX:] for head, line in zip(heads, lines, strict=True)
            ]
        if not parts:
            return b""
        parts.append(b"")
        return b"\n".join(parts)

    def _headers_of(self, lines: list[bytes]) -> list[bytes]:
        """Return the headers for lines of both streams; others are removed from ``lines``.

        Raises:
            ValueError: a line is not a record.
        """
        options = self._options
        try:
            tables = {}
            if options.stdout:
                tables[_OUT] = self._stdout
            if options.stderr:
                tables[_ERR] = self._stderr
            if len(tables) < 2:
                lines[:] = [line for line in lines if line[_STREAM_AT] in tables]
            return [tables[line[_STREAM_AT]][len(line)] for line in lines]
        except LookupError:
            raise ValueError(lines) from None

    def _convert_records(self, block: bytes) -> bytes:
        options = self._options
        out: list[bytes] = []
        for line in block.split(b"\n"):
            skipped = self._skip > 0
            if skipped:
                self._skip -= len(line) + 1
            for record in split_records(line):
                if self.done or not _is_record(record):
                    continue
                stream = _STREAMS[record[_TIME:_TAG_AT]]
                if not (options.stdout if stream == STDOUT else options.stderr):
                    continue
                if not self._in_time(record):
                    continue
                whole = record[_TAG_AT:PREFIX] == b"F "
                if skipped and whole:
                    self._lines.pop(stream, None)
                else:
                    out.append(self._add(stream, record, whole=whole, hold=skipped))
            if self.done:
                break
        return b"".join(out)

    def _in_time(self, record: bytes) -> bool:
        since, until = self._since, self._options.until
        if since is None and until is None:
            return True
        moment = record_time(record)
        if moment is None or (since is not None and moment < since):
            return False
        if until is not None and moment > until:
            self.done = True
            return False
        return True

    def _add(self, stream: int, record: bytes, *, whole: bool, hold: bool) -> bytes:
        """Add a record to its line; return the line if it is complete."""
        line = self._lines.setdefault(stream, bytearray())
        if self._options.timestamps and (not line or whole):
            # dockerd shows the time when a line was complete, but when a piece began.
            self._stamps[stream] = _stamp(record)
        line += record[PREFIX:]
        if whole:
            return self._flush(stream, b"\n")
        if hold or (len(line) < LONGEST and not self._options.eager):
            return b""
        ready = self._flush(stream, b"")
        self._middle.add(stream)
        return ready

    def _flush(self, stream: int, ending: bytes) -> bytes:
        content = bytes(self._lines.pop(stream)) + ending
        begin = stream not in self._middle
        if ending:
            self._middle.discard(stream)
        if not content:
            return b""
        if begin:
            stamp = self._stamps.pop(stream, b"") if self._options.timestamps else b""
            content = stamp + self._details + content
        if self._options.tty:
            return content
        return _HEADER.pack(stream, len(content)) + content
