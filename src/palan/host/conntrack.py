"""Connection tracking: the flows that the kernel knows, over ctnetlink.

The address translation of a flow is decided at its first packet. A client that keeps sending
UDP from one port is therefore not redirected when a port is published or moves to another
container, unless the entry of its flow is removed.

Layouts are those of ``linux/netfilter/nfnetlink_conntrack.h``.
"""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host.nft_messages import NETLINK_NETFILTER


__all__ = ["Flow", "decode_flow", "flows", "remove_flows"]

_CT_NEW: Final = 1 << 8
_CT_GET: Final = 1 << 8 | 1
_CT_DELETE: Final = 1 << 8 | 2
_TUPLE_ORIGINAL: Final = 1
_TUPLE_REPLY: Final = 2
_ID: Final = 12
_BUFFER: Final = 1 << 16
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow in its original direction, and the address that replies.

    Attributes:
        version: IP version.
        protocol: IP protocol number.
        source: source address of the first packet.
        destination: destination address of the first packet.
        port: destination port.
        reply_source: source address of replies; not the destination if that was translated.
        key: the attributes that identify the flow to the kernel.
    """

    version: int
    protocol: int
    source: str
    destination: str
    port: int
    reply_source: str
    key: bytes

    @property
    def translated(self) -> bool:
        """Whether the destination address was translated."""
        return self.reply_source != self.destination


def decode_flow(body: memoryview) -> Flow | None:
    """Decode a flow from a message; None if its protocol has no ports."""
    attributes = codec.parse_attributes(body[4:])
    first, second = attributes.get(_TUPLE_ORIGINAL), attributes.get(_TUPLE_REPLY)
    if first is None or second is None:
        return None
    there, back = codec.parse_attributes(first), codec.parse_attributes(second)
    addresses, answers = codec.parse_attributes(there[1]), codec.parse_attributes(back[1])
    proto = codec.parse_attributes(there[2])
    if 3 not in proto:
        return None
    version = 4 if 1 in addresses else 6
    source, destination = (1, 2) if version == 4 else (3, 4)
    key = codec.attribute(_TUPLE_ORIGINAL | 0x8000, bytes(first))
    if (number := attributes.get(_ID)) is not None:
        key += codec.attribute(_ID, bytes(number))
    return Flow(
        version=version,
        protocol=proto[1][0],
        source=_address(addresses[source]),
        destination=_address(addresses[destination]),
        port=struct.unpack("!H", proto[3])[0],
        reply_source=_address(answers[source]),
        key=key,
    )


def _address(packed: memoryview) -> str:
    return str(ipaddress.ip_address(bytes(packed)))


def _open() -> socket.socket:
    return socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )


def _message(kind: int, flags: int, version: int, body: bytes = b"") -> bytes:
    header = struct.pack("!BBH", _FAMILIES[version], 0, 0)
    return codec.encode_message(codec.Request(kind, flags, header + body, ""), 1)


def flows(version: int) -> Iterator[Flow]:
    """Iterate over all flows of one IP version.

    Raises:
        OSError: the kernel does not list them.
    """
    with _open() as control:
        control.send(_message(_CT_GET, codec.NLM_F_DUMP, version))
        while True:
            for message in codec.decode_messages(control.recv(_BUFFER)):
                if message.type == _CT_NEW:
                    flow = decode_flow(message.body)
                    if flow is not None:
                        yield flow
                elif message.type == codec.NLMSG_ERROR:
                    number, explanation = codec.decode_acknowledgement(message)
                    raise OSError(number, f"cannot list flows: {explanation}")
                elif message.type == codec.NLMSG_DONE:
                    return


def remove_flows(found: Collection[Flow]) -> None:
    """Remove the entries of flows; those that do not exist any more are ignored."""
    if not found:
        return
    with _open() as control:
        control.setblocking(False)
        for flow in found:
            control.send(_message(_CT_DELETE, codec.NLM_F_ACK, flow.version, flow.key))
            with contextlib.suppress(BlockingIOError):
                control.recv(_BUFFER)
