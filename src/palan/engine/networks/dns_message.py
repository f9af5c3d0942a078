"""Messages of the DNS (RFC 1035, 6891), as far as an engine needs them.  Pure, no I/O.

A question is read, and answered with addresses or a name, or handed on to somebody who
knows more.  That needs no more of the format than this; and as each look-up of each
container passes here, it is written to be fast: the question goes back as the very bytes
that it came in (which also keeps the case that a client has chosen for it).
"""

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


__all__ = [
    "IN",
    "MAX_UDP",
    "Answer",
    "BadMessage",
    "Query",
    "Rcode",
    "Rtype",
    "address_of_reverse",
    "answer",
    "answers_to",
    "encode_name",
    "failure",
    "parse_query",
    "query_bytes",
    "response_code",
    "truncated",
]

IN: Final = 1
MAX_UDP: Final = 512
"""What every client takes over UDP; it may say that it takes more."""
OWN_UDP: Final = 4096
"""What we say that we take."""

_HEADER: Final = struct.Struct("!HHHHHH")
_PAIR: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_AT_QUESTION: Final = b"\xc0\x0c"  # a pointer to the name of the question, which is at 12

_QR: Final = 0x8000
_OPCODE: Final = 0x7800
_TC: Final = 0x0200
_RD: Final = 0x0100
_RA: Final = 0x0080
_CD: Final = 0x0010

_LONGEST_LABEL: Final = 63
_LONGEST_NAME: Final = 255
_IN_ADDR: Final = ".in-addr.arpa"
_IP6: Final = ".ip6.arpa"


class Rtype(IntEnum):
    """Types of records that are known by name here."""

    A = 1
    PTR = 12
    MX = 15
    AAAA = 28
    OPT = 41


class Rcode(IntEnum):
    """How a look-up went."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class BadMessage(Exception):
    """What came is no question that can be answered.

    Attributes:
        reply: what to say to that; empty where silence is better.
    """

    def __init__(self, why: str, reply: bytes = b"") -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """A question.

    Attributes:
        id: the client's number for it.
        flags: as they came.
        name: what is asked about, in lower case, without the final dot.
        rtype: the type of record that is wanted.
        rclass: its class, which is IN.
        question: the question as it came.
        limit: how long an answer over UDP may be, in bytes.
        edns: whether the client speaks EDNS.
    """

    id: int
    flags: int
    name: str
    rtype: int
    rclass: int
    question: bytes
    limit: int
    edns: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A record about the name in the question; ``data`` in its form on the wire."""

    rtype: int
    data: bytes


def parse_query(message: bytes) -> Query:
    """Read a question.

    Raises:
        BadMessage: it is none.
    """
    if len(message) < _HEADER.size:
        raise BadMessage("too short for a header")
    number, flags, questions, answers, authorities, more = _HEADER.unpack_from(message)
    if flags & _QR:
        raise BadMessage("not a question")  # an answer to an answer would go round forever
    if flags & _OPCODE:
        raise BadMessage("not a query", _bare(number, flags, Rcode.NOTIMP))
    if questions != 1:
        raise BadMessage("not one question", _bare(number, flags, Rcode.FORMERR))
    try:
        name, end = _name(message, _HEADER.size)
        rtype, rclass = _PAIR.unpack_from(message, end)
        end += _PAIR.size
        limit = 0
        if more or answers or authorities:
            limit = _edns_limit(message, end, answers + authorities + more)
    except (IndexError, struct.error, ValueError) as error:
        raise BadMessage(str(error), _bare(number, flags, Rcode.FORMERR)) from None
    return Query(
        number,
        flags,
        name,
        rtype,
        rclass,
        message[_HEADER.size : end],
        max(limit, MAX_UDP),
        limit > 0,
    )


def _name(message: bytes, position: int) -> tuple[str, int]:
    """The name of a question, and where it ends; there is nothing it could point back to."""
    start = position
    labels = []
    while length := message[position]:
        if length > _LONGEST_LABEL:
            raise ValueError("a label that is too long")
        position += 1
        labels.append(message[position : position + length])
        position += length
    if position + 1 - start > _LONGEST_NAME:
        raise ValueError("a name that is too long")
    return b".".join(labels).decode(errors="surrogateescape").lower(), position + 1


def _edns_limit(message: bytes, position: int, records: int) -> int:
    """The size that the OPT record gives; 0 if there is none."""
    for _ in range(records):
        position = _skip_name(message, position)
        rtype, size, _, length = _RECORD.unpack_from(message, position)
        if rtype == Rtype.OPT:
            return max(int(size), 1)
        position += _RECORD.size + length
    return 0


def _skip_name(message: bytes, position: int) -> int:
    while length := message[position]:
        if length > _LONGEST_LABEL:
            return position + 2  # a pointer
        position += 1 + length
    return position + 1


def _bare(number: int, flags: int, rcode: Rcode) -> bytes:
    """A header alone: what can be said to a question that can't be read."""
    return _HEADER.pack(number, _reply_flags(flags) | rcode, 0, 0, 0, 0)


def _reply_flags(flags: int) -> int:
    return _QR | _RA | flags & (_OPCODE | _RD | _CD)


_OPT: Final = b"\0" + _RECORD.pack(Rtype.OPT, OWN_UDP, 0, 0)


def answer(
    query: Query, records: Iterable[Answer] = (), *, ttl: int = 0, limit: int | None = None
) -> bytes:
    """The answer with these records, as many as have room.

    Args:
        query: the question.
        records: what is known; nothing says that the name is known, but not of this type.
        ttl: seconds that it may be kept.
        limit: the longest that it may be, where it is not what the client said (over TCP).
    """
    room = (query.limit if limit is None else limit) - _HEADER.size - len(query.question)
    opt = _OPT if query.edns else b""
    room -= len(opt)
    flags = _reply_flags(query.flags)
    parts = []
    for record in records:
        size = 12 + len(record.data)
        if size > room:
            flags |= _TC
            break
        room -= size
        parts.append(
            _AT_QUESTION
            + _RECORD.pack(record.rtype, query.rclass, ttl, len(record.data))
            + record.data
        )
    header = _HEADER.pack(query.id, flags, 1, len(parts), 0, 1 if opt else 0)
    return b"".join((header, query.question, *parts, opt))


def failure(query: Query, rcode: Rcode) -> bytes:
    """The answer that there is none, and why."""
    opt = _OPT if query.edns else b""
    flags = _reply_flags(query.flags) | rcode
    return _HEADER.pack(query.id, flags, 1, 0, 0, 1 if opt else 0) + query.question + opt


def encode_name(name: str) -> bytes:
    """A name as it is in a record.

    Raises:
        ValueError: it is too long, or a part of it is or is empty.
    """
    encoded = b""
    for label in name.rstrip(".").encode().split(b"."):
        if not 0 < len(label) <= _LONGEST_LABEL:
            raise ValueError(f"not a name: {name!r}")
        encoded += bytes((len(label),)) + label
    if len(encoded) >= _LONGEST_NAME:
        raise ValueError(f"a name that is too long: {name!r}")
    return encoded + b"\0"


def address_of_reverse(name: str) -> str:
    """The address that ``4.3.2.1.in-addr.arpa`` asks about, in its usual form.

    Returns:
        the address; empty where the name asks about none.
    """
    try:
        if name.endswith(_IN_ADDR):
            parts = name[: -len(_IN_ADDR)].split(".")
            return str(ipaddress.IPv4Address(".".join(reversed(parts))))
        if name.endswith(_IP6):
            digits = name[: -len(_IP6)].split(".")
            if len(digits) != 32 or any(len(digit) != 1 for digit in digits):
                return ""
            return str(ipaddress.IPv6Address(int("".join(reversed(digits)), 16)))
    except ValueError:
        pass
    return ""


# ---- questions that are handed on ------------------------------------------------------


def query_bytes(message: bytes, number: int) -> bytes:
    """A question, or an answer, under another number."""
    return number.to_bytes(2, "big") + message[2:]


def answers_to(query: Query, number: int, message: bytes) -> bool:
    """Whether a message is an answer to the question, asked under this number."""
    if len(message) < _HEADER.size:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(message)
    if got != number or not flags & _QR:
        return False
    if questions == 0:  # some leave it out when they refuse
        return flags & 0xF not in (Rcode.NOERROR, Rcode.NXDOMAIN)
    asked = message[_HEADER.size : _HEADER.size + len(query.question)]
    return questions == 1 and asked.lower() == query.question.lower()


def response_code(message: bytes) -> int:
    """How it went, of an answer."""
    return message[3] & 0xF


def truncated(query: Query, message: bytes) -> bytes:
    """An answer that was received, as it may be given over UDP: whole, or else told to be too long.

    Who is told so asks again over TCP.
    """
    if len(message) <= query.limit:
        return message
    number, flags, *_ = _HEADER.unpack_from(message)
    opt = _OPT if query.edns else b""
    return _HEADER.pack(number, flags | _TC, 1, 0, 0, 1 if opt else 0) + query.question + opt
