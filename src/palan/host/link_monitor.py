"""Monitoring of the deletion of network interfaces by other programs."""

import socket
import struct
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host.netlink_notifications import NetlinkNotifications


__all__ = ["LinkMonitor"]

_GROUP_LINK: Final = 1
_DELLINK: Final = 17
_IFLA_IFNAME: Final = 3
_FAMILY_AND_LINK: Final = struct.Struct("=BxHiII")


class LinkMonitor(NetlinkNotifications):
    """Receives notifications about deleted interfaces."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE, _GROUP_LINK)

    def read(self) -> set[str] | None:
        """Return the names of deleted interfaces; None if notifications were lost."""
        found: set[str] = set()
        lost = False
        for message in self.receive():
            if message is None:
                lost = True
            # A port that leaves its bridge is notified about in the bridge family.
            elif message.type == _DELLINK and not message.body[0]:
                attributes = codec.parse_attributes(message.body[_FAMILY_AND_LINK.size :])
                name = bytes(attributes.get(_IFLA_IFNAME, b"")).rstrip(b"\0")
                found.add(name.decode(errors="surrogateescape"))
        return None if lost else found
