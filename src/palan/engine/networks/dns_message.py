"""Messages of the DNS (RFC 1035, 6891), as far as an engine needs them.  Pure, no I/O.

A query is parsed, and answered with addresses or a name, or forwarded to a resolver; this needs
only a part of the format.  As all look-ups of all containers pass here, the code is written to be
fast: the question section is copied into the answer unchanged, which also keeps the upper and
lower case that the client has chosen.
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
"""The longest message over UDP that every client accepts; EDNS may raise it."""
OWN_UDP: Final = 4096
"""The longest message over UDP that this server accepts."""

_HEADER: Final = struct.Struct("!HHHHHH")
_PAIR: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_AT_QUESTION: Final = b"\xc0\x0c"  # a pointer to the name in the question section, at offset 12

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
    """The types of records that this module uses."""

    A = 1
    PTR = 12
    MX = 15
    AAAA = 28
    OPT = 41


class Rcode(IntEnum):
    """The response code of an answer."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class BadMessage(Exception):
    """A message is not a query that can be answered.

    Attributes:
        reply: the answer to send all the same; empty for no answer.
    """

    def __init__(self, why: str, reply: bytes = b"") -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Attributes:
        id: the client's id of the query.
        flags: the flags as received.
        name: the name in lower case, without the final dot.
        rtype: the type of record asked for.
        rclass: the class asked for, normally IN.
        question: the question section as received.
        limit: the longest answer over UDP, in bytes.
        edns: whether the client uses EDNS.
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
    """A record of the name in the question; ``data`` is in wire format."""

    rtype: int
    data: bytes


def parse_query(message: bytes) -> Query:
    """Parse a query.

    Raises:
        BadMessage: the message is not a query.
    """
    if len(message) < _HEADER.size:
        raise BadMessage("too short for a header")
    number, flags, questions, answers, authorities, more = _HEADER.unpack_from(message)
    if flags & _QR:
        raise BadMessage("not a question")  # an answer to an answer would cause an endless loop
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
    """Return the name in a question and the offset of its end; compression is not possible here."""
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
    """Return the size in the OPT record; 0 without such a record."""
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
    """Return an answer that is a header only, for a query that can't be parsed."""
    return _HEADER.pack(number, _reply_flags(flags) | rcode, 0, 0, 0, 0)


def _reply_flags(flags: int) -> int:
    return _QR | _RA | flags & (_OPCODE | _RD | _CD)


_OPT: Final = b"\0" + _RECORD.pack(Rtype.OPT, OWN_UDP, 0, 0)


def answer(
    query: Query, records: Iterable[Answer] = (), *, ttl: int = 0, limit: int | None = None
) -> bytes:
    """Return the answer with these records, as many as fit.

    Args:
        query: the query.
        records: the records; without any, the answer says that the name has other types only.
        ttl: seconds for which the answer may be cached.
        limit: the longest answer in bytes; None for the client's limit over UDP.
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
    """Return an answer without records that has a response code."""
    opt = _OPT if query.edns else b""
    flags = _reply_flags(query.flags) | rcode
    return _HEADER.pack(query.id, flags, 1, 0, 0, 1 if opt else 0) + query.question + opt


def encode_name(name: str) -> bytes:
    """Return a name in wire format.

    Raises:
        ValueError: the name is too long, or a label is too long or empty.
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
    """Return the address that a name such as ``4.3.2.1.in-addr.arpa`` asks about.

    Returns:
        The address in canonical form; empty for other names.
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


# ---- forwarded queries ------------------------------------------------------------------


def query_bytes(message: bytes, number: int) -> bytes:
    """Return a query or an answer with another id."""
    return number.to_bytes(2, "big") + message[2:]


def answers_to(query: Query, number: int, message: bytes) -> bool:
    """Return whether a message is the answer to a query that was sent with this id."""
    if len(message) < _HEADER.size:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(message)
    if got != number or not flags & _QR:
        return False
    if questions == 0:  # some servers omit the question when they refuse
        return flags & 0xF not in (Rcode.NOERROR, Rcode.NXDOMAIN)
    asked = message[_HEADER.size : _HEADER.size + len(query.question)]
    return questions == 1 and asked.lower() == query.question.lower()


def response_code(message: bytes) -> int:
    """Return the response code of an answer."""
    return message[3] & 0xF


def truncated(query: Query, message: bytes) -> bytes:
    """Return an answer for UDP: as it is if it fits, or else empty with the truncation flag.

    The client then asks again over TCP.
    """
    if len(message) <= query.limit:
        return message
    number, flags, *_ = _HEADER.unpack_from(message)
    opt = _OPT if query.edns else b""
    return _HEADER.pack(number, flags | _TC, 1, 0, 0, 1 if opt else 0) + query.question + opt
