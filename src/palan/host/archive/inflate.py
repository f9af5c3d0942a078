"""Compressed streams: detect the format, and inflate with limited memory.

Python has gzip, bzip2 and xz. Nearly all layers are gzip, which ISA-L inflates in half the time
if it is installed. zstd is inflated by the ``zstd`` program, which the opener of the stream
starts (see :mod:`palan.host.archive.unpack`).
"""

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final, Literal, Protocol

from palan.host.archive.headers import ArchiveError, Truncated
from palan.host.archive.reader import Source


__all__ = ["Compression", "detect", "inflated", "prepare"]

Compression = Literal["", "gzip", "bzip2", "xz", "zstd"]

_MAGIC: Final[tuple[tuple[bytes, Compression], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_PIECE: Final = 1 << 20
_WINDOW: Final = 4096
_XZ_MEMORY: Final = 256 << 20


def detect(head: bytes) -> Compression:
    """Return the compression of a stream that begins with ``head`` (six bytes suffice)."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return ""


class _Decompressor(Protocol):
    """The common interface of bz2 and lzma."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip(Protocol):
    """The common interface of zlib and ISA-L."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _gzip() -> tuple[Callable[[], _Gzip], type[Exception]]:
    """Return the fastest available decompressor, and its exception."""
    try:
        isal_zlib = import_module("isal.isal_zlib")
    except ImportError:
        return lambda: zlib.decompressobj(wbits=31), zlib.error
    return lambda: isal_zlib.decompressobj(wbits=31), isal_zlib.error


class _Windows:
    """The input in parts that grow while one member of a stream is inflated.

    What a member leaves unused is copied, so many small members in one large piece would need
    quadratic time.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._piece = b""
        self._position = 0
        self._size = _WINDOW

    def begin(self, unused: bytes) -> None:
        """Begin a member: put the rest of the last part back."""
        self._position -= len(unused)
        self._size = _WINDOW

    def next(self) -> bytes:
        """Return the next part, ``b""`` at the end."""
        if self._position >= len(self._piece):
            self._piece, self._position = self._source(), 0
        start = self._position
        self._position = min(len(self._piece), start + self._size)
        self._size *= 2
        return self._piece[start : self._position]


def _gunzip(source: Source) -> Iterator[bytes]:
    new, error_of_data = _gzip()
    windows = _Windows(source)
    data = windows.next()
    while data:
        stream = new()
        piece = b""
        while not stream.eof:
            if not data and len(piece) < _PIECE:  # otherwise more output may be pending
                data = windows.next()
                if not data:
                    raise Truncated
            try:
                piece = stream.decompress(data, _PIECE)
            except error_of_data as error:
                raise ArchiveError(f"invalid gzip data: {error}") from None
            if piece:
                yield piece
            data = stream.unconsumed_tail
        windows.begin(stream.unused_data)
        data = windows.next()
        if data.startswith(b"\0"):  # padding after the last member, as written by tape programs
            return


def _plain(
    source: Source, new: Callable[[], _Decompressor], errors: tuple[type[Exception], ...], name: str
) -> Iterator[bytes]:
    windows = _Windows(source)
    data = windows.next()
    while data:
        stream = new()
        while not stream.eof:
            try:
                piece = stream.decompress(data, _PIECE)
            except errors as error:
                raise ArchiveError(f"invalid {name} data: {error}") from None
            data = b""
            if piece:
                yield piece
            elif stream.needs_input:
                data = windows.next()
                if not data:
                    raise Truncated
        windows.begin(stream.unused_data)
        data = windows.next()


def _pieces(source: Source, compression: Compression) -> Iterator[bytes]:
    if compression == "gzip":
        return _gunzip(source)
    if compression == "bzip2":
        import bz2  # noqa: PLC0415 - rare, see prepare()

        return _plain(source, bz2.BZ2Decompressor, (OSError, ValueError), "bzip2")
    if compression == "xz":
        import lzma  # noqa: PLC0415 - rare, see prepare()

        return _plain(
            source, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), (lzma.LZMAError,), "xz"
        )
    raise ArchiveError(f"cannot inflate {compression} here")


def prepare(compression: Compression) -> None:
    """Import the modules for inflating, before a process loses access to them.

    They are not imported with this module, so that unpacking starts quickly.
    """
    if compression == "gzip":
        _gzip()
    elif compression in ("bzip2", "xz"):
        import_module("bz2" if compression == "bzip2" else "lzma")


def inflated(source: Source, compression: Compression) -> Source:
    """Return a source of the inflated bytes.

    Reading it raises :class:`ArchiveError` if the data is damaged.
    """
    if not compression:
        return source
    pieces = _pieces(source, compression)
    return lambda: next(pieces, b"")
