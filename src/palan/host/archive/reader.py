"""Streaming parser for tar archives.

The input is not trusted: every length that determines memory use is limited, so that a reader
needs a few megabytes for any input. The data of entries is passed on in pieces as it arrives, and
never held as a whole.
"""

from collections.abc import Callable, Iterator
from typing import Final

from palan.host.archive.headers import (
    BLOCK,
    ArchiveError,
    Entry,
    Kind,
    Truncated,
    decode_header,
    decode_pax,
    pax_number,
)


__all__ = ["Source", "TarReader"]

Source = Callable[[], bytes]
"""Returns the next bytes of a stream, any number of them, and ``b""`` at its end."""

MAX_EXTENSION: Final = 1 << 20
"""Maximum length of an extended header: xattrs have at most 64 KiB each, paths 4 KiB."""

MAX_SPARSE: Final = 1 << 16
"""Maximum number of data segments of a sparse file."""

_ZERO_BLOCK: Final = bytes(BLOCK)


_EXTENSIONS: Final = frozenset((Kind.PAX, Kind.PAX_GLOBAL, Kind.GNU_LONG_NAME, Kind.GNU_LONG_LINK))


class _Extensions:
    """The extension headers that precede the header of an entry."""

    __slots__ = ("linkname", "name", "pax", "pending")

    def __init__(self) -> None:
        self.pending = False
        self.name: str | None = None
        self.linkname: str | None = None
        self.pax: list[tuple[str, bytes]] = []

    def add(self, kind: str, data: bytes) -> None:
        if kind == Kind.PAX_GLOBAL:  # comments in practice; other engines ignore them, too
            return
        self.pending = True
        if kind == Kind.PAX:
            self.pax = decode_pax(data)
        elif kind == Kind.GNU_LONG_NAME:
            self.name = _c_string(data)
        else:
            self.linkname = _c_string(data)

    def apply(self, entry: Entry) -> None:
        if self.name is not None:
            entry.name = self.name
            if entry.kind == Kind.FILE and self.name.endswith("/"):
                entry.kind = Kind.DIRECTORY
                entry.size = entry.stored = 0
        if self.linkname is not None:
            entry.linkname = self.linkname
        if self.pax:
            entry.apply_pax(dict(self.pax))


class TarReader:
    """Iterates over the entries of a tar stream; :meth:`content` returns the current one's data."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._position = 0
        self._remaining = 0
        self._padding = 0

    # ---- the stream as bytes ----------------------------------------------------

    def _read_exactly(self, length: int, *, end_allowed: bool = False) -> bytes:
        end = self._position + length
        if end <= len(self._buffer):
            data = self._buffer[self._position : end]
            self._position = end
            return data
        parts = [self._buffer[self._position :]]
        have = len(parts[0])
        self._buffer = b""
        self._position = 0
        while have < length:
            piece = self._source()
            if not piece:
                if have == 0 and end_allowed:
                    return b""
                raise Truncated
            parts.append(piece)
            have += len(piece)
        last = parts[-1]
        surplus = have - length
        if surplus:
            parts[-1] = last[:-surplus]
            self._buffer = last
            self._position = len(last) - surplus
        return b"".join(parts)

    def content(self) -> Iterator[memoryview]:
        """Yield the remaining data of the current entry in pieces."""
        while self._remaining:
            if self._position >= len(self._buffer):
                self._buffer = self._source()
                self._position = 0
                if not self._buffer:
                    raise Truncated
            end = min(len(self._buffer), self._position + self._remaining)
            piece = memoryview(self._buffer)[self._position : end]
            self._position = end
            self._remaining -= len(piece)
            yield piece

    def read(self, limit: int) -> bytes:
        """Return all data of the current entry.

        Raises:
            ArchiveError: it has more than ``limit`` bytes.
        """
        if self._remaining > limit:
            raise ArchiveError(f"entry is larger than {limit} bytes")
        data = self._read_exactly(self._remaining)
        self._remaining = 0
        return data

    def drain(self) -> None:
        """Read the rest of the stream and ignore it."""
        self._buffer = b""
        self._position = 0
        self._remaining = self._padding = 0
        while self._source():
            pass

    # ---- the stream as entries --------------------------------------------------

    def _skip_rest(self) -> None:
        for _ in self.content():
            pass
        if self._padding:
            # Docker's client omits the padding at the end of some archives.
            self._read_exactly(self._padding, end_allowed=True)
            self._padding = 0

    def _extension(self, entry: Entry) -> bytes:
        if entry.stored > MAX_EXTENSION:
            raise ArchiveError("archive/tar: header field too long")
        data = self._read_exactly(entry.stored)
        self._read_exactly(-entry.stored % BLOCK)
        return data

    def __iter__(self) -> Iterator[Entry]:
        extensions = _Extensions()
        while True:
            self._skip_rest()
            block = self._read_exactly(BLOCK, end_allowed=not extensions.pending)
            if not block or block == _ZERO_BLOCK:
                # One block of zeros also counts as the end: many programs write no second one.
                # A part of a second one shows that the archive is damaged.
                if extensions.pending:
                    raise Truncated
                self._read_exactly(BLOCK, end_allowed=True)
                return
            entry = decode_header(block)
            if entry.kind in _EXTENSIONS:
                extensions.add(entry.kind, self._extension(entry))
                continue
            extensions.apply(entry)
            if entry.kind == Kind.FILE and entry.name.endswith("/"):
                # Old programs write directories so. Only checked when the whole name is known,
                # because a name that is too long for the header may be truncated after a slash.
                entry.kind = Kind.DIRECTORY
                entry.size = entry.stored = 0
            self._remaining = entry.stored
            self._padding = -entry.stored % BLOCK
            if entry.kind == Kind.GNU_SPARSE:
                self._read_gnu_sparse(entry, block)
            elif extensions.pax and entry.kind == Kind.FILE:
                self._read_pax_sparse(entry, extensions.pax)
            yield entry
            extensions = _Extensions()

    # ---- sparse files -----------------------------------------------------------

    def _read_gnu_sparse(self, entry: Entry, header: bytes) -> None:
        """Read segments in the old GNU format: in the header and in blocks after it."""
        pieces = _gnu_pieces(header[386:482])
        more = header[482]
        while more:
            block = self._read_exactly(BLOCK)
            pieces += _gnu_pieces(block[:504])
            more = block[504]
            if len(pieces) > MAX_SPARSE:
                raise ArchiveError("sparse file has too many pieces")
        entry.kind = Kind.FILE
        entry.size = _gnu_number(header[483:495])
        entry.sparse = _checked(pieces, entry)

    def _read_pax_sparse(self, entry: Entry, records: list[tuple[str, bytes]]) -> None:
        """Read segments in GNU's pax formats 0.0, 0.1 and 1.0."""
        values = dict(records)
        size = values.get("GNU.sparse.realsize", values.get("GNU.sparse.size"))
        if size is None:
            return
        if "GNU.sparse.name" in values:
            entry.name = _c_string(values["GNU.sparse.name"])
        if values.get("GNU.sparse.major") == b"1":
            numbers = self._sparse_map()
        elif "GNU.sparse.map" in values:
            numbers = [pax_number(part) for part in values["GNU.sparse.map"].split(b",") if part]
        else:
            numbers = [
                pax_number(value)
                for key, value in records
                if key in ("GNU.sparse.offset", "GNU.sparse.numbytes")
            ]
        if len(numbers) % 2 or len(numbers) > 2 * MAX_SPARSE:
            raise ArchiveError("archive/tar: invalid tar header")
        entry.size = pax_number(size)
        entry.sparse = _checked(list(zip(numbers[::2], numbers[1::2], strict=True)), entry)

    def _sparse_map(self) -> list[int]:
        """Read the segments of format 1.0: decimal lines before the data."""
        data = b""

        def line() -> int:
            nonlocal data
            while b"\n" not in data:
                if self._remaining < BLOCK or len(data) > BLOCK:
                    raise ArchiveError("archive/tar: invalid tar header")
                data += self._read_exactly(BLOCK)
                self._remaining -= BLOCK
            number, data = data.split(b"\n", 1)
            return pax_number(number)

        count = line()
        if count > MAX_SPARSE:
            raise ArchiveError("sparse file has too many pieces")
        return [line() for _ in range(2 * count)]


def _c_string(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _gnu_number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    try:
        value = int(digits or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise ArchiveError("archive/tar: invalid tar header")
    return value


def _gnu_pieces(table: bytes) -> list[tuple[int, int]]:
    pieces = []
    for start in range(0, len(table) - 23, 24):
        if not table[start]:
            break
        pieces.append(
            (_gnu_number(table[start : start + 12]), _gnu_number(table[start + 12 : start + 24]))
        )
    return pieces


def _checked(pieces: list[tuple[int, int]], entry: Entry) -> list[tuple[int, int]]:
    """Check that segments are ordered, within the file, and not longer than the stored data."""
    end = 0
    for offset, length in pieces:
        if offset < end:
            raise ArchiveError("archive/tar: invalid tar header")
        end = offset + length
    if end > entry.size or sum(length for _, length in pieces) > entry.stored:
        raise ArchiveError("archive/tar: invalid tar header")
    return pieces
