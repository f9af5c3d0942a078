"""Monitoring of the subnets that the host has addresses in or routes to."""

import socket
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host._netlink_codec import IPNetwork
from palan.host.netlink_notifications import NetlinkNotifications


__all__ = ["AddressMonitor", "is_local"]

_GROUPS: Final = 0x10 | 0x100 | 0x40 | 0x400
"""Addresses and routes of both versions of IP."""
_ADDRESSES: Final = (20, 21)
_ROUTES: Final = (24, 25)
_FAMILIES: Final = (2, 10)
_UNICAST: Final = 1


def is_local(network: IPNetwork) -> bool:
    """Return whether a subnet exists on every link or host, so that none can hide it."""
    return network.is_link_local or network.is_multicast or network.is_loopback


class AddressMonitor(NetlinkNotifications):
    """Receives notifications about addresses and routes in the host's namespace."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE, _GROUPS)

    def read(self) -> set[int] | None:
        """Return the indexes of the interfaces whose subnets changed since the last call.

        Returns:
            The indexes, with 0 for routes through several interfaces; None if notifications
            were lost.
        """
        changed: set[int] = set()
        lost = False
        for message in self.receive():
            if message is None:
                lost = True
            elif (index := _changed(message)) is not None:
                changed.add(index)
        return None if lost else changed


def _changed(message: codec.Message) -> int | None:
    """Return the index of the interface that a notification is about; None if it does not count."""
    if message.type in _ADDRESSES:
        address = codec.decode_address(message.body)
        return None if is_local(address.address.network) else address.index
    if message.type in _ROUTES and message.body[0] in _FAMILIES:
        route = codec.decode_route(message.body)
        if route.kind == _UNICAST and route.destination.prefixlen:
            return None if is_local(route.destination) else route.index
    return None
