"""Announcements of an address to the network, so that neighbours update their caches.

For IPv4 an ARP announcement (RFC 5227, 3), for IPv6 an unsolicited neighbor advertisement
(RFC 4861, 7.2.6).
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from palan.host._netlink_codec import IPAddress, mac_bytes


__all__ = ["Announcer", "announcement"]

_ETHERNET: Final = struct.Struct("!6s6sH")
_IPV4: Final = 0x0800
_ARP: Final = 0x0806
_IPV6: Final = 0x86DD
_BROADCAST_MAC: Final = b"\xff" * 6
_ALL_NODES: Final = IPv6Address("ff02::1").packed
_ALL_NODES_MAC: Final = b"\x33\x33\0\0\0\1"
_ICMPV6: Final = 58
_ADVERTISEMENT: Final = 136
_OVERRIDE: Final = 0x20000000


def announcement(address: IPAddress, mac: str) -> bytes:
    """Return the Ethernet frame that announces the hardware address of an IP address."""
    own = mac_bytes(mac)
    if isinstance(address, IPv4Address):
        arp = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 1)
        arp += own + address.packed + bytes(6) + address.packed
        return _ETHERNET.pack(_BROADCAST_MAC, own, _ARP) + arp
    body = struct.pack("!I", _OVERRIDE) + address.packed + b"\2\1" + own
    size = 4 + len(body)
    pseudo = address.packed + _ALL_NODES + struct.pack("!II", size, _ICMPV6)
    checksum = _checksum(pseudo + struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body)
    icmp = struct.pack("!BBH", _ADVERTISEMENT, 0, checksum) + body
    header = struct.pack("!IHBB", 6 << 28, size, _ICMPV6, 255) + address.packed + _ALL_NODES
    return _ETHERNET.pack(_ALL_NODES_MAC, own, _IPV6) + header + icmp


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Announcer:
    """Sends announcements in the network namespace in which it was created.

    Keep it open: closing such a socket makes the kernel wait for all processors.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def announce(self, interface: str, addresses: Iterable[IPAddress], mac: str) -> None:
        """Announce addresses on an interface.

        Raises:
            OSError: the kernel refuses it, for example because the interface is down.
        """
        for address in addresses:
            self._socket.sendto(announcement(address, mac), (interface, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
