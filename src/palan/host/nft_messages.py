"""Changes to nf_tables as netlink messages, for operations at each container start.

The ``nft`` program takes ten milliseconds to start and to read the existing rules. Operations
that always have the same form (elements of maps, the redirection inside of a container's
namespace) are therefore sent to the kernel directly. Other rules are written in the language of
nft(8) (:mod:`palan.host.nftables`).

Layouts are those of ``linux/netfilter/nf_tables.h`` and ``nfnetlink.h``; numbers in
attributes are big-endian.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host.namespaces import run_in_netns


__all__ = [
    "NETLINK_NETFILTER",
    "Change",
    "add_elements",
    "commit",
    "delete_elements",
    "destination_redirect",
    "element_address",
    "element_number",
    "element_protocol",
]

NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11

_NEWTABLE: Final = 0
_DELTABLE: Final = 2
_NEWCHAIN: Final = 3
_NEWRULE: Final = 6
_NEWSETELEM: Final = 12
_DELSETELEM: Final = 14

_NFPROTO_IPV4: Final = 2
FAMILIES: Final = {"inet": 1, "ip": 2, "ip6": 10}

_LIST_ELEMENT: Final = 1
_DATA_VALUE: Final = 1
_REGISTER_1: Final = 1
_REGISTER_2: Final = 2
_HOOK_OUTPUT: Final = 3
_PRIORITY_DSTNAT: Final = -100

_ELEMENTS_AT_ONCE: Final = 500
"""An attribute is limited to 64 KiB; so many elements are well below that."""
_BUFFER: Final = 1 << 16
_SEND_BUFFER: Final = 4 << 20
_SO_SNDBUFFORCE: Final = 32

_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}


class Change:
    """One message of a transaction, and the operation in words for error messages."""

    __slots__ = ("body", "family", "flags", "kind", "what")

    def __init__(self, kind: int, family: str, flags: int, body: bytes, what: str) -> None:
        self.kind = kind
        self.family = FAMILIES[family]
        self.flags = flags
        self.body = body
        self.what = what


def _be32(kind: int, value: int) -> bytes:
    return codec.attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


# ---- elements --------------------------------------------------------------------------


def element_number(value: int, size: int) -> bytes:
    """Encode a number as part of a key or value: big-endian, padded to four bytes."""
    return value.to_bytes(size, "big") + bytes(-size % 4)


def element_address(address: str) -> bytes:
    """Encode an address as part of a key or value."""
    return ipaddress.ip_address(address).packed


def element_protocol(protocol: str) -> bytes:
    """Encode a protocol as part of a key."""
    return element_number(_PROTOCOLS[protocol], 1)


def add_elements(
    family: str, table: str, name: str, elements: Iterable[tuple[bytes, bytes]]
) -> Iterator[Change]:
    """Add elements to a set (without values) or a map.

    Args:
        family: such as ``ip`` or ``inet``.
        table: the table's name.
        name: the set's or map's name.
        elements: keys and values; each part of a concatenation is padded to four bytes.
    """
    named = codec.string(1, table) + codec.string(2, name)
    for listed in _element_lists(elements):
        yield Change(
            _NEWSETELEM, family, codec.NLM_F_CREATE, named + listed, f"add elements to {name}"
        )


def delete_elements(
    family: str, table: str, name: str, elements: Iterable[tuple[bytes, bytes]]
) -> Iterator[Change]:
    """Delete elements from a set or a map."""
    named = codec.string(1, table) + codec.string(2, name)
    for listed in _element_lists(elements):
        yield Change(_DELSETELEM, family, 0, named + listed, f"delete elements of {name}")


def _element_lists(elements: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    remaining = iter(elements)
    while chunk := list(islice(remaining, _ELEMENTS_AT_ONCE)):
        yield codec.nested(3, *(_element(key, value) for key, value in chunk))


def _element(key: bytes, value: bytes) -> bytes:
    parts = [codec.nested(1, codec.attribute(_DATA_VALUE, key))]
    if value:
        parts.append(codec.nested(2, codec.attribute(_DATA_VALUE, value)))
    return codec.nested(_LIST_ELEMENT, *parts)


# ---- a redirection ---------------------------------------------------------------------


def destination_redirect(
    table: str, address: str, ports: Sequence[tuple[str, int, int]], *, replace: bool
) -> Iterator[Change]:
    """Return the changes for a table that redirects packets for an address to other ports.

    Args:
        table: the table's name; its family is ``ip``.
        address: an IPv4 address of the namespace itself.
        ports: protocol, destination port, and the port to redirect to.
        replace: delete an existing table first, which takes the kernel 10 ms. Otherwise an
            existing table is an error (``EEXIST``).
    """
    named = codec.string(1, table)
    create = codec.NLM_F_CREATE
    if replace:
        yield Change(_NEWTABLE, "ip", create, named, f"create table {table}")
        yield Change(_DELTABLE, "ip", 0, named, f"delete table {table}")
    yield Change(_NEWTABLE, "ip", create | codec.NLM_F_EXCL, named, f"create table {table}")
    hook = codec.nested(4, _be32(1, _HOOK_OUTPUT), _be32(2, _PRIORITY_DSTNAT))
    chain = named + codec.string(3, "output") + hook + codec.string(7, "nat")
    yield Change(_NEWCHAIN, "ip", create, chain, "create chain output")
    to = element_address(address)
    for protocol, sent, arriving in ports:
        expressions = codec.nested(
            4,
            _payload(1, 16, 4),
            _compare(to),
            _expression("meta", _be32(1, _REGISTER_1), _be32(2, 16)),
            _compare(bytes((_PROTOCOLS[protocol],))),
            _payload(2, 2, 2),
            _compare(struct.pack("!H", sent)),
            _immediate(_REGISTER_1, to),
            _immediate(_REGISTER_2, struct.pack("!H", arriving)),
            _expression(
                "nat",
                _be32(1, 1),
                _be32(2, _NFPROTO_IPV4),
                _be32(3, _REGISTER_1),
                _be32(5, _REGISTER_2),
            ),
        )
        rule = named + codec.string(2, "output") + expressions
        yield Change(_NEWRULE, "ip", create | codec.NLM_F_APPEND, rule, "add a rule")


def _expression(name: str, *attributes: bytes) -> bytes:
    return codec.nested(_LIST_ELEMENT, codec.string(1, name), codec.nested(2, *attributes))


def _payload(base: int, offset: int, size: int) -> bytes:
    return _expression(
        "payload", _be32(1, _REGISTER_1), _be32(2, base), _be32(3, offset), _be32(4, size)
    )


def _compare(value: bytes) -> bytes:
    data = codec.nested(3, codec.attribute(_DATA_VALUE, value))
    return _expression("cmp", _be32(1, _REGISTER_1), _be32(2, 0), data)


def _immediate(register: int, value: bytes) -> bytes:
    data = codec.nested(2, codec.attribute(_DATA_VALUE, value))
    return _expression("immediate", _be32(1, register), data)


# ---- transactions ----------------------------------------------------------------------


def commit(changes: Iterable[Change], *, netns: str | Path | int | None = None) -> None:
    """Apply changes in one transaction.

    Args:
        changes: the changes in their order.
        netns: a path or descriptor of a network namespace; None for the current one.

    Raises:
        OSError: the changes were rejected; the message names the first rejected one.
    """
    listed = list(changes)
    if not listed:
        return
    control = _open() if netns is None else run_in_netns(netns, _open)
    with control:
        _transact(control, listed)


def _open() -> socket.socket:
    return socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )


def _transact(control: socket.socket, changes: Sequence[Change]) -> None:
    messages = [_boundary(_BATCH_BEGIN, 0)]
    for sequence, change in enumerate(changes, 1):
        # The kernel reports each failure, but success only for the last.
        flags = change.flags | (codec.NLM_F_ACK if sequence == len(changes) else 0)
        body = struct.pack("!BBH", change.family, 0, 0) + change.body
        request = codec.Request(_SUBSYSTEM << 8 | change.kind, flags, body, change.what)
        messages.append(codec.encode_message(request, sequence))
    messages.append(_boundary(_BATCH_END, len(changes) + 1))
    data = b"".join(messages)
    if len(data) > _BUFFER:
        try:
            control.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
        except OSError:
            control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    control.setblocking(False)  # the answers are ready when send() returns
    control.send(data)
    done = False
    while True:
        try:
            answers = control.recv(_BUFFER)
        except BlockingIOError:
            break
        for answer in codec.decode_messages(answers):
            if answer.type != codec.NLMSG_ERROR:
                continue
            number, explanation = codec.decode_acknowledgement(answer)
            if number:
                what = changes[answer.sequence - 1].what if answer.sequence else "change rules"
                raise OSError(
                    number, f"cannot {what}: {os.strerror(number)} {explanation}".rstrip()
                )
            done = done or answer.sequence == len(changes)
    if not done:
        raise OSError(errno.EIO, "nf_tables did not say whether rules were changed")


def _boundary(kind: int, sequence: int) -> bytes:
    """Encode the message that begins or ends a transaction."""
    header = struct.pack("!BBH", 0, 0, _SUBSYSTEM)
    return codec.encode_message(codec.Request(kind, 0, header, ""), sequence)
