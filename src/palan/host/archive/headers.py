"""Encoding and decoding of tar headers.

Formats: ustar (POSIX.1-1988), pax (POSIX.1-2001) and GNU, as described in ``tar(5)``. Names are
bytes in the archive and ``surrogateescape`` strings here, so that any file name of Linux survives
a round trip.
"""

import struct
from collections.abc import Mapping
from typing import Final


__all__ = [
    "BLOCK",
    "ArchiveError",
    "Entry",
    "Kind",
    "Truncated",
    "decode_header",
    "decode_pax",
    "encode_header",
    "encode_pax",
]

BLOCK: Final = 512
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_XATTR: Final = "SCHILY.xattr."
_MAX_OCTAL_12: Final = 8**11 - 1
_MAX_OCTAL_8: Final = 8**7 - 1


class ArchiveError(Exception):
    """The archive is damaged, or contains something that is not allowed."""


class Truncated(ArchiveError):
    """The archive is incomplete."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")


class Kind:
    """The types of entries: the ``typeflag`` of the header."""

    FILE: Final = "0"
    HARDLINK: Final = "1"
    SYMLINK: Final = "2"
    CHARACTER: Final = "3"
    BLOCK: Final = "4"
    DIRECTORY: Final = "5"
    FIFO: Final = "6"
    GNU_SPARSE: Final = "S"
    GNU_LONG_NAME: Final = "L"
    GNU_LONG_LINK: Final = "K"
    PAX: Final = "x"
    PAX_GLOBAL: Final = "g"


_WITHOUT_DATA: Final = frozenset(
    (Kind.HARDLINK, Kind.SYMLINK, Kind.CHARACTER, Kind.BLOCK, Kind.DIRECTORY, Kind.FIFO)
)


class Entry:
    """One member of an archive.

    Attributes:
        name: the path as in the archive, not cleaned.
        kind: one of :class:`Kind`, never an extension header.
        stored: number of data bytes in the archive.
        size: length of the file; differs from ``stored`` for a sparse file.
        mtime_ns: modification time in nanoseconds since the epoch.
        device: major and minor number of a device node.
        xattrs: extended attributes by name.
        sparse: the data segments as (offset, length); None for a file without holes.
    """

    __slots__ = (
        "device",
        "gid",
        "kind",
        "linkname",
        "mode",
        "mtime_ns",
        "name",
        "size",
        "sparse",
        "stored",
        "uid",
        "xattrs",
    )

    def __init__(
        self,
        name: str,
        kind: str = Kind.FILE,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime_ns: int = 0,
        linkname: str = "",
        device: tuple[int, int] = (0, 0),
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.stored = size
        self.mtime_ns = mtime_ns
        self.linkname = linkname
        self.device = device
        self.xattrs: Mapping[str, bytes] = xattrs or {}
        self.sparse: list[tuple[int, int]] | None = None

    def apply_pax(self, records: Mapping[str, bytes]) -> None:
        """Override header fields with the records of an extended header.

        Raises:
            ArchiveError: the value of a record is malformed.
        """
        xattrs = {}
        for key, value in records.items():
            if key == "path":
                self.name = _text(value)
            elif key == "linkpath":
                self.linkname = _text(value)
            elif key == "size" and self.kind not in _WITHOUT_DATA:
                self.size = self.stored = pax_number(value)
            elif key == "uid":
                self.uid = pax_number(value)
            elif key == "gid":
                self.gid = pax_number(value)
            elif key == "mtime":
                self.mtime_ns = _pax_time(value)
            elif key.startswith(_XATTR):
                xattrs[key[len(_XATTR) :]] = value
        if xattrs:
            self.xattrs = xattrs


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[-1] in (0, 32) and field[:-1].isdigit():  # the usual form
        try:
            return int(field[:-1], 8)
        except ValueError:
            raise ArchiveError("archive/tar: invalid tar header") from None
    if field[0] & 0x80:  # GNU: base 256, two's complement; the top bit marks the format
        value = int.from_bytes(field, "big") & ~(1 << (len(field) * 8 - 1))
        sign = 1 << (len(field) * 8 - 2)
        return value - (sign << 1) if value & sign else value
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise ArchiveError("archive/tar: invalid tar header")
    try:
        return int(digits, 8)
    except ValueError:
        raise ArchiveError("archive/tar: invalid tar header") from None


def pax_number(value: bytes) -> int:
    """Parse a non-negative decimal number of an extended header."""
    if not value.isdigit() or len(value) > 19:
        raise ArchiveError("archive/tar: invalid tar header")
    return int(value)


def _pax_time(value: bytes) -> int:
    whole, _, fraction = value.partition(b".")
    negative = whole.startswith(b"-")
    digits = whole[1:] if negative else whole
    if not digits.isdigit() or len(digits) > 12 or (fraction and not fraction.isdigit()):
        raise ArchiveError("archive/tar: invalid tar header")
    nanoseconds = int(digits) * 10**9 + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def decode_header(block: bytes) -> Entry:
    """Decode a header block.

    Raises:
        ArchiveError: the checksum or a number is wrong.
    """
    (
        name,
        mode,
        uid,
        gid,
        size,
        mtime,
        checksum,
        kind,
        linkname,
        magic,
        version,
        _,
        _,
        major,
        minor,
        prefix,
    ) = _HEADER.unpack(block)
    expected = _number(checksum)
    if sum(block) - sum(checksum) + 8 * 32 != expected:
        # Some old programs added the bytes as signed characters.
        signed = sum(struct.unpack("512b", block)) - sum(struct.unpack("8b", checksum)) + 8 * 32
        if signed != expected:
            raise ArchiveError("archive/tar: invalid tar header")
    path = name.split(b"\0", 1)[0]
    if magic == b"ustar\0" and version == b"00" and prefix[0]:
        path = prefix.split(b"\0", 1)[0] + b"/" + path
    flag = kind.decode("latin-1")
    if flag in ("\0", "7"):
        flag = Kind.FILE
    length = 0 if flag in _WITHOUT_DATA else _number(size)
    if length < 0:
        raise ArchiveError("archive/tar: invalid tar header")
    entry = Entry(
        path.decode("utf-8", "surrogateescape"),
        flag,
        mode=_number(mode) & 0o7777,
        uid=_number(uid),
        gid=_number(gid),
        size=length,
        mtime_ns=_number(mtime) * 10**9,
        linkname=_text(linkname),
    )
    if flag in (Kind.CHARACTER, Kind.BLOCK):
        entry.device = (_number(major), _number(minor))
    return entry


def decode_pax(data: bytes) -> list[tuple[str, bytes]]:
    r"""Decode the records of an extended header, in their order.

    Raises:
        ArchiveError: a record does not have the form ``<length> <key>=<value>\n``.
    """
    records = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        length = data[position:space]
        if space < 0 or not length.isdigit():
            raise ArchiveError("archive/tar: invalid tar header")
        end = position + int(length)
        record = data[space + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(data) or not key or not equals or not value.endswith(b"\n"):
            raise ArchiveError("archive/tar: invalid tar header")
        records.append((key.decode("utf-8", "surrogateescape"), value[:-1]))
        position = end
    return records


def encode_pax(records: Mapping[str, bytes]) -> bytes:
    """Encode records as the data of an extended header, without padding."""
    parts = []
    for key, value in records.items():
        body = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        parts.append(str(length).encode() + body)
    return b"".join(parts)


_USTAR: Final = b"ustar\0" + b"00" + bytes(64)
_NO_DEVICE: Final = b"0000000\0" * 2 + bytes(167)


def _block(entry: Entry, name: bytes, linkname: bytes, seconds: int) -> bytes:
    device = _NO_DEVICE
    if entry.device != (0, 0):
        device = b"%07o\0%07o\0" % entry.device + bytes(167)
    # Formatted in one step, because headers take a good part of the time for packing.
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:100].ljust(100, b"\0"),
        entry.mode & 0o7777,
        min(max(entry.uid, 0), _MAX_OCTAL_8),
        min(max(entry.gid, 0), _MAX_OCTAL_8),
        min(entry.stored, _MAX_OCTAL_12),
        min(max(seconds, 0), _MAX_OCTAL_12),
    )
    after = b"%s%s%s%s" % (
        entry.kind.encode("latin-1"),
        linkname[:100].ljust(100, b"\0"),
        _USTAR,
        device,
    )
    # The checksum is calculated with spaces in its own field.
    return b"%s%06o\0 %s" % (before, sum(before) + 8 * 32 + sum(after), after)


def _is_ascii(data: bytes) -> bool:
    return len(data) <= 100 and data.isascii()


def encode_header(entry: Entry) -> bytes:
    """Encode the header of ``entry``, preceded by an extended header if ustar does not suffice."""
    name = entry.name.encode("utf-8", "surrogateescape")
    linkname = entry.linkname.encode("utf-8", "surrogateescape")
    seconds, fraction = divmod(entry.mtime_ns, 10**9)
    records: dict[str, bytes] = {}
    if not _is_ascii(name):
        records["path"] = name
    if not _is_ascii(linkname):
        records["linkpath"] = linkname
    if entry.stored > _MAX_OCTAL_12:
        records["size"] = str(entry.stored).encode()
    if entry.uid > _MAX_OCTAL_8:
        records["uid"] = str(entry.uid).encode()
    if entry.gid > _MAX_OCTAL_8:
        records["gid"] = str(entry.gid).encode()
    if fraction or not 0 <= seconds <= _MAX_OCTAL_12:
        sign, absolute = ("-", -entry.mtime_ns) if entry.mtime_ns < 0 else ("", entry.mtime_ns)
        records["mtime"] = f"{sign}{absolute // 10**9}.{absolute % 10**9:09}".rstrip("0").encode()
        records["mtime"] = records["mtime"].rstrip(b".")
    for key, value in sorted(entry.xattrs.items()):
        records[_XATTR + key] = value
    header = _block(entry, name, linkname, seconds)
    if not records:
        return header
    data = encode_pax(records)
    extension = Entry("PaxHeaders.0/extended", Kind.PAX, size=len(data))
    padding = b"\0" * (-len(data) % BLOCK)
    return _block(extension, extension.name.encode(), b"", 0) + data + padding + header
