"""A netlink socket that receives the kernel's notifications to multicast groups."""

import errno
import socket
from collections.abc import Iterator
from typing import Final

from palan.host import _netlink_codec as codec


__all__ = ["NetlinkNotifications"]

_BUFFER: Final = 1 << 16
_RECEIVE_BUFFER: Final = 1 << 20
_SO_RCVBUFFORCE: Final = 33


class NetlinkNotifications:
    """Receives notifications of a netlink family; give :meth:`fileno` to the event loop."""

    def __init__(self, family: int, groups: int) -> None:
        """Open the socket in the present network namespace.

        Args:
            family: a protocol of ``AF_NETLINK``, such as ``NETLINK_ROUTE``.
            groups: the mask of its multicast groups.

        Raises:
            OSError: the kernel lacks the family, or permission is denied.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            family,
        )
        try:
            self._socket.bind((0, groups))
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            except OSError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop receiving."""
        self._socket.close()

    def receive(self) -> Iterator[codec.Message | None]:
        """Yield the pending notifications, with None where some were lost."""
        while True:
            try:
                data = self._socket.recv(_BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            yield from codec.decode_messages(data)
