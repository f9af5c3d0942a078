"""Monitoring of the deletion of network interfaces by other programs."""

import errno
import socket
import struct
from typing import Final

from palan.host import _netlink_codec as codec


__all__ = ["LinkMonitor"]

_GROUP_LINK: Final = 1
_DELLINK: Final = 17
_BUFFER: Final = 1 << 16
_RECEIVE_BUFFER: Final = 1 << 20
_IFLA_IFNAME: Final = 3
_FAMILY_AND_LINK: Final = struct.Struct("=BxHiII")


class LinkMonitor:
    """Receives notifications about deleted interfaces; give :meth:`fileno` to the event loop.

    Raises:
        OSError: permission is denied.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.bind((0, _GROUP_LINK))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop monitoring."""
        self._socket.close()

    def read(self) -> set[str] | None:
        """Return the names of deleted interfaces; None if notifications were lost."""
        found: set[str] = set()
        while True:
            try:
                data = self._socket.recv(_BUFFER)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._discard_rest()
                return None
            for message in codec.decode_messages(data):
                # A port that leaves its bridge is notified about in the bridge family.
                if message.type == _DELLINK and not message.body[0]:
                    attributes = codec.parse_attributes(message.body[_FAMILY_AND_LINK.size :])
                    name = bytes(attributes.get(_IFLA_IFNAME, b"")).rstrip(b"\0")
                    found.add(name.decode(errors="surrogateescape"))

    def _discard_rest(self) -> None:
        while True:
            try:
                self._socket.recv(_BUFFER)
            except BlockingIOError:
                return
            except OSError:
                continue
