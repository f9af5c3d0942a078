"""Network interfaces, addresses and routes, over rtnetlink(7).

A small implementation, because the common library takes longer to import than a container takes
to start. Usage::

    with Netlink() as netlink:
        netlink.perform(add_bridge("br0", mac="02:42:00:00:00:01"))
        bridge = netlink.link("br0")
        netlink.perform(
            add_address(bridge.index, "172.17.0.1/16"),
            add_veth("veth1", "eth0", master=bridge.index, peer_netns=fd),
        )

All requests of one call are sent in one system call.
"""

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from palan.host import _netlink_codec as codec
from palan.host._netlink_codec import Address, Link, Request, Route
from palan.host._netlink_requests import (
    add_address,
    add_bridge,
    add_dummy,
    add_forwarding,
    add_ipvlan,
    add_macvlan,
    add_neighbor,
    add_route,
    add_veth,
    add_vlan,
    add_vxlan,
    delete_address,
    delete_forwarding,
    delete_link,
    delete_neighbor,
    delete_route,
    set_bridge_port,
    set_link,
)
from palan.host.namespaces import run_in_netns


__all__ = [
    "Address",
    "Link",
    "Netlink",
    "Request",
    "Route",
    "add_address",
    "add_bridge",
    "add_dummy",
    "add_forwarding",
    "add_ipvlan",
    "add_macvlan",
    "add_neighbor",
    "add_route",
    "add_veth",
    "add_vlan",
    "add_vxlan",
    "delete_address",
    "delete_forwarding",
    "delete_link",
    "delete_neighbor",
    "delete_route",
    "set_bridge_port",
    "set_link",
]

T = TypeVar("T")

_NETLINK_ROUTE: Final = 0
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12

_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26

_IFLA_IFNAME: Final = 3
_BUFFER: Final = 1 << 16
_DUMP_ATTEMPTS: Final = 10


def _open_socket() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    opened.bind((0, 0))
    for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
        try:
            opened.setsockopt(_SOL_NETLINK, option, 1)
        except OSError:
            continue  # before Linux 4.12: errors have no explanation
    return opened


class Netlink:
    """A socket to the network stack of one namespace; a context manager.

    Several threads can share it.

    Args:
        netns: a path or descriptor of a network namespace; None for the current one.
    """

    def __init__(self, netns: str | Path | int | None = None) -> None:
        self._socket = _open_socket() if netns is None else run_in_netns(netns, _open_socket)
        self._sequence = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; interfaces and routes remain."""
        self._socket.close()

    def perform(self, *requests: Request) -> None:
        """Execute requests in their order.

        Raises:
            OSError: the first failure, with the operation in words. The kernel does not stop
                there: later requests are executed as well.
        """
        if not requests:
            return
        with self._lock:
            first = self._sequence + 1
            self._sequence += len(requests)
            last = self._sequence
            # The kernel reports each failure, but success only for the last: one answer to read.
            data = b"".join(
                codec.encode_message(
                    request if sequence < last else _acknowledged(request), sequence
                )
                for sequence, request in enumerate(requests, first)
            )
            self._socket.send(data)
            failure: OSError | None = None
            done = False
            while not done:
                for message in codec.decode_messages(self._socket.recv(_BUFFER)):
                    if message.type != codec.NLMSG_ERROR or not first <= message.sequence <= last:
                        continue
                    done = message.sequence == last
                    number, explanation = codec.decode_acknowledgement(message)
                    if number and failure is None:
                        what = requests[message.sequence - first].what
                        failure = _failure(number, what, explanation)
        if failure is not None:
            raise failure

    def links(self) -> list[Link]:
        """Return all interfaces."""
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        request = Request(_RTM_GETLINK, 0, body, "list interfaces")
        return self._list(request, _RTM_NEWLINK, codec.decode_link)

    def link(self, which: int | str) -> Link | None:
        """Return an interface by its index or name; None if there is no such interface."""
        by_name = isinstance(which, str)
        body = struct.pack("=BxHiII", 0, 0, 0 if by_name else which, 0, 0)
        if isinstance(which, str):
            body += codec.string(_IFLA_IFNAME, which)
        request = Request(_RTM_GETLINK, 0, body, f"look up interface {which}")
        with self._lock:
            for message in self._exchange(request):
                if message.type == _RTM_NEWLINK:
                    return codec.decode_link(message.body)
                if message.type == codec.NLMSG_ERROR:
                    number, explanation = codec.decode_acknowledgement(message)
                    if number in (errno.ENODEV, errno.ENOENT):
                        return None
                    raise _failure(number, request.what, explanation)
        return None

    def addresses(self, index: int | None = None) -> list[Address]:
        """Return the addresses of all interfaces, or of one."""
        body = struct.pack("=BBBBi", 0, 0, 0, 0, index or 0)
        request = Request(_RTM_GETADDR, 0, body, "list addresses")
        if index is None:
            return self._list(request, _RTM_NEWADDR, codec.decode_address)
        with contextlib.suppress(OSError):  # before Linux 4.20, the kernel lists all
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        try:
            found = self._list(request, _RTM_NEWADDR, codec.decode_address)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            found = []
        finally:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 0)
        return [entry for entry in found if entry.index == index]

    def routes(self) -> list[Route]:
        """Return all routes of both IP families, including those of the local table."""
        request = Request(_RTM_GETROUTE, 0, struct.pack("=12x"), "list routes")

        def decode(body: memoryview) -> Route | None:
            # Other families, such as MPLS or multicast forwarding, are listed too.
            return codec.decode_route(body) if body[0] in (2, 10) else None

        found = self._list(request, _RTM_NEWROUTE, decode)
        return [route for route in found if route is not None]

    def _exchange(self, request: Request) -> Iterator[codec.Message]:
        """Send one request and yield its answers; the caller holds the lock."""
        self._sequence += 1
        sequence = self._sequence
        self._socket.send(codec.encode_message(request, sequence))
        while True:
            for message in codec.decode_messages(self._socket.recv(_BUFFER)):
                if message.sequence == sequence:
                    yield message

    def _list(self, request: Request, kind: int, decode: Callable[[memoryview], T]) -> list[T]:
        dump = Request(request.type, codec.NLM_F_DUMP, request.body, request.what)
        for _attempt in range(_DUMP_ATTEMPTS):
            found: list[T] = []
            changed = False
            with self._lock:
                for message in self._exchange(dump):
                    changed = changed or bool(message.flags & codec.NLM_F_DUMP_INTR)
                    if message.type == kind:
                        found.append(decode(message.body))
                    elif message.type == codec.NLMSG_DONE:
                        break
                    elif message.type == codec.NLMSG_ERROR:
                        number, explanation = codec.decode_acknowledgement(message)
                        raise _failure(number, request.what, explanation)
            if not changed:
                return found
        # The list changed during each attempt; return the last one.
        return found


def _acknowledged(request: Request) -> Request:
    return Request(request.type, request.flags | codec.NLM_F_ACK, request.body, request.what)


def _failure(number: int, what: str, explanation: str) -> OSError:
    reason = os.strerror(number)
    if explanation:
        reason += f" ({explanation.rstrip('.')})"
    return OSError(number, f"cannot {what}: {reason}")
