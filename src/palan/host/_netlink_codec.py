"""Encoding and decoding of netlink messages and attributes; no I/O.

All numbers are in the machine's byte order; sizes and layouts are those of netlink(7) and
rtnetlink(7).
"""

import ipaddress
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


__all__ = [
    "NLMSG_DONE",
    "NLMSG_ERROR",
    "NLM_F_ACK",
    "NLM_F_APPEND",
    "NLM_F_CREATE",
    "NLM_F_DUMP",
    "NLM_F_DUMP_INTR",
    "NLM_F_EXCL",
    "NLM_F_MULTI",
    "NLM_F_REPLACE",
    "NLM_F_REQUEST",
    "Address",
    "Link",
    "Message",
    "Request",
    "Route",
    "attribute",
    "decode_acknowledgement",
    "decode_address",
    "decode_link",
    "decode_messages",
    "decode_route",
    "encode_message",
    "mac_bytes",
    "nested",
    "parse_attributes",
    "string",
    "u8",
    "u16",
    "u32",
]

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

NLM_F_REQUEST: Final = 0x1
NLM_F_MULTI: Final = 0x2
NLM_F_ACK: Final = 0x4
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1
_NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBi")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")

# Attributes of links
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_IFALIAS: Final = 20
_IFLA_STATS64: Final = 23
_IFLA_LINK_NETNSID: Final = 37
_IFLA_INFO_KIND: Final = 1
_IFF_UP: Final = 0x1

# Attributes of addresses and routes
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_LABEL: Final = 3
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_TABLE: Final = 15

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Request:
    """A message to send.

    Attributes:
        type: the operation, ``RTM_*``.
        flags: ``NLM_F_*``, in addition to ``NLM_F_REQUEST``.
        body: the fixed part and the attributes.
        what: the operation in words, for error messages: ``create bridge br0``.
    """

    type: int
    flags: int
    body: bytes
    what: str


class Message(NamedTuple):
    """A received message."""

    type: int
    flags: int
    sequence: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface.

    Attributes:
        index: its number in its namespace.
        name: its name.
        kind: such as ``bridge`` or ``veth``; "" for hardware and loopback.
        master: the index of its bridge; 0 for none.
        flags: ``IFF_*`` of netdevice(7).
        mac: its hardware address; "" if it has none.
        mtu: the largest packet, in bytes.
        peer: the index of the interface it is linked to (the other end of a veth pair, the
            parent of a macvlan or vlan), possibly in another namespace; 0 for none.
        alias: a free text set by its creator.
        statistics: counters named as in ``/sys/class/net/*/statistics``.
    """

    index: int
    name: str
    kind: str
    master: int
    flags: int
    mac: str
    mtu: int
    peer: int
    alias: str
    statistics: Mapping[str, int]

    @property
    def up(self) -> bool:
        """Whether it is set up; it may still have no carrier."""
        return bool(self.flags & _IFF_UP)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface."""

    index: int
    address: IPInterface
    label: str
    scope: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        destination: the destination network; the default route has a prefix length of 0.
        gateway: the next hop; None for a directly connected network.
        index: the outgoing interface; 0 if there are several or none.
        table: 254 is the main table, 255 the one of local addresses.
        metric: the route with the lowest metric is used.
        kind: 1 for an ordinary (unicast) route.
        protocol: the origin: 2 is the kernel, 3 the administrator at boot, 4 manual.
    """

    destination: IPNetwork
    gateway: IPAddress | None
    index: int
    table: int
    metric: int
    kind: int
    protocol: int


# ---- encoding ---------------------------------------------------------------


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode an attribute, padded to four bytes."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Encode an attribute that contains attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def string(kind: int, value: str) -> bytes:
    """Encode a zero-terminated string as an attribute."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """Encode a byte as an attribute."""
    return attribute(kind, struct.pack("=B", value))


def u16(kind: int, value: int) -> bytes:
    """Encode a 16-bit number as an attribute."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """Encode a 32-bit number as an attribute."""
    return attribute(kind, struct.pack("=I", value))


def mac_bytes(mac: str) -> bytes:
    """Parse a hardware address such as ``02:42:ac:11:00:02`` into six bytes.

    Raises:
        ValueError: it is malformed.
    """
    parts = mac.replace("-", ":").split(":")
    if len(parts) != 6 or not all(1 <= len(part) <= 2 for part in parts):
        raise ValueError(f"invalid MAC address: {mac!r}")
    return bytes(int(part, 16) for part in parts)


def encode_message(request: Request, sequence: int, port: int = 0) -> bytes:
    """Encode a request, padded so that another one can follow."""
    size = _HEADER.size + len(request.body)
    flags = request.flags | NLM_F_REQUEST
    header = _HEADER.pack(size, request.type, flags, sequence, port)
    return header + request.body + bytes(-size % 4)


# ---- decoding ---------------------------------------------------------------


def decode_messages(data: bytes) -> Iterator[Message]:
    """Split the data of one read into messages.

    Raises:
        ValueError: it is malformed.
    """
    view = memoryview(data)
    offset = 0
    while offset + _HEADER.size <= len(view):
        size, kind, flags, sequence, _port = _HEADER.unpack_from(view, offset)
        if size < _HEADER.size or offset + size > len(view):
            raise ValueError("truncated netlink message")
        yield Message(kind, flags, sequence, view[offset + _HEADER.size : offset + size])
        offset += (size + 3) & ~3
    if offset < len(view):
        raise ValueError("truncated netlink message")


def parse_attributes(data: memoryview) -> dict[int, memoryview]:
    """Return attributes by type; if a type occurs repeatedly, the last one."""
    found = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size or offset + size > len(data):
            raise ValueError("truncated netlink attribute")
        found[kind & _NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3
    return found


def decode_acknowledgement(message: Message) -> tuple[int, str]:
    """Return the error number of an acknowledgement, 0 for success, and the explanation."""
    (code,) = struct.unpack_from("=i", message.body)
    explanation = ""
    if message.flags & _NLM_F_ACK_TLVS:
        # The request's header follows the number, and the rest of the request unless capped.
        (size,) = struct.unpack_from("=I", message.body, 4)
        echoed = _HEADER.size if message.flags & _NLM_F_CAPPED or not code else size
        attributes = parse_attributes(message.body[4 + ((echoed + 3) & ~3) :])
        if _NLMSGERR_ATTR_MSG in attributes:
            explanation = _string(attributes[_NLMSGERR_ATTR_MSG])
    return -code, explanation


def _string(value: memoryview | None) -> str:
    return "" if value is None else bytes(value).rstrip(b"\0").decode("utf-8", "replace")


def _u32(value: memoryview | None) -> int:
    return 0 if value is None else int(struct.unpack_from("=I", value)[0])


_COUNTERS: Final = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)


def decode_link(body: memoryview) -> Link:
    """Decode an ``RTM_NEWLINK`` message."""
    _family, _type, index, flags, _change = _IFINFO.unpack_from(body)
    attributes = parse_attributes(body[_IFINFO.size :])
    kind = ""
    if (information := attributes.get(_IFLA_LINKINFO)) is not None:
        kind = _string(parse_attributes(information).get(_IFLA_INFO_KIND))
    statistics = {}
    if (counters := attributes.get(_IFLA_STATS64)) is not None:
        values = struct.unpack_from(f"={len(_COUNTERS)}Q", counters)
        statistics = dict(zip(_COUNTERS, values, strict=True))
    return Link(
        index=index,
        name=_string(attributes.get(_IFLA_IFNAME)),
        kind=kind,
        master=_u32(attributes.get(_IFLA_MASTER)),
        flags=flags,
        mac=bytes(attributes.get(_IFLA_ADDRESS, b"")).hex(":"),
        mtu=_u32(attributes.get(_IFLA_MTU)),
        peer=_u32(attributes.get(_IFLA_LINK)),
        alias=_string(attributes.get(_IFLA_IFALIAS)),
        statistics=statistics,
    )


def decode_address(body: memoryview) -> Address:
    """Decode an ``RTM_NEWADDR`` message."""
    _family, prefix, _flags, scope, index = _IFADDR.unpack_from(body)
    attributes = parse_attributes(body[_IFADDR.size :])
    # On a point-to-point interface IFA_ADDRESS is the peer's address.
    own = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    if own is None:
        raise ValueError("address message without address")
    return Address(
        index=index,
        address=ipaddress.ip_interface((bytes(own), prefix)),
        label=_string(attributes.get(_IFA_LABEL)),
        scope=scope,
    )


def decode_route(body: memoryview) -> Route:
    """Decode an ``RTM_NEWROUTE`` message."""
    family, prefix, _source, _tos, table, protocol, _scope, kind, _flags = _ROUTE.unpack_from(body)
    attributes = parse_attributes(body[_ROUTE.size :])
    everything = bytes(4 if family == 2 else 16)
    destination = bytes(attributes.get(_RTA_DST, everything))
    gateway = attributes.get(_RTA_GATEWAY)
    return Route(
        destination=ipaddress.ip_network((destination, prefix)),
        gateway=None if gateway is None else ipaddress.ip_address(bytes(gateway)),
        index=_u32(attributes.get(_RTA_OIF)),
        table=_u32(attributes.get(_RTA_TABLE)) or table,
        metric=_u32(attributes.get(_RTA_PRIORITY)),
        kind=kind,
        protocol=protocol,
    )
