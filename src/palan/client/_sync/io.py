"""Bytes to and from an engine, for blocking callers.

``_async/io.py`` has the same names for asyncio; everything above them is written once.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from palan.client._address import Address
from palan.client.errors import ClientClosed, ConnectFailed, ConnectionLost, Timeout


if TYPE_CHECKING:
    from palan.client._ssh import Tunnel, Tunnels


__all__ = ["Body", "Stream", "connect", "consume", "in_thread", "now", "pieces", "sleep"]

Body = bytes | IO[bytes] | Iterable[bytes]
"""What can be sent: all of it, a file, or pieces as they come."""

_READ: Final = 1 << 17
"""Bytes that are read at once."""

_PIECE: Final = 1 << 18
"""Bytes of a file that are sent at once."""

_PLENTY: Final = 1 << 14
_LITTLE: Final = 32
_NAP: Final = 0.0003
"""After so many reads in a row of less than so many bytes, wait for so many seconds before the
next: what is written line by line, and faster than that, is then read in bulk."""

_IN: Final = select.POLLIN
_OUT: Final = select.POLLOUT

T = TypeVar("T")


class Stream:
    """One connection, as bytes in order.

    What comes in while something is written is kept, so that neither side waits for the other.
    Another thread may close it at any time.
    """

    def __init__(self, sock: socket.socket, tunnel: "Tunnel | None" = None) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._tunnel = tunnel
        self._buffer: list[bytes] = []
        self._view: memoryview | None = None
        self._last = self._little = 0
        self._eof = False
        self._closed = False
        self._poll = select.poll()
        self._poll.register(sock, _IN)

    @property
    def has_input(self) -> bool:
        """Whether :meth:`read` would answer at once."""
        return bool(self._buffer) or self._eof or bool(self._poll.poll(0))

    def is_idle(self) -> bool:
        """Whether the connection is open and the other side has said nothing unasked."""
        return not (self._closed or self.has_input)

    def read(self, timeout: float | None) -> bytes:
        """What has come in; waits for at least a byte, and gives none at the end.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: nothing came.
            ConnectionLost: the connection broke.
        """
        if self._buffer:
            data = b"".join(self._buffer)
            self._buffer.clear()
            return data
        while not self._eof:
            if self._closed:
                raise ClientClosed("the connection was closed")
            self._wait(_IN, timeout)
            data = self._receive()
            if data:
                return data
        if self._closed:
            raise ClientClosed("the connection was closed")
        return b""

    def read_into(self, feed: Callable[[memoryview], None], timeout: float | None) -> bool:
        """Hand over what has come in; waits for at least a byte.

        Args:
            feed: gets it, and copies what it keeps.
            timeout: seconds; None is for ever.

        Returns:
            Whether there was something: not at the end.

        Raises:
            Timeout: nothing came.
            ConnectionLost: the connection broke.
        """
        if self._buffer or self._eof or self._closed:
            data = self.read(timeout)
            if data:
                feed(memoryview(data))
            return bool(data)
        if self._little >= _LITTLE:
            sleep(_NAP)
        if self._view is None:
            self._view = memoryview(bytearray(_READ))
        size = None
        if self._last >= _READ // 2:
            # There is probably more, and no need to ask.
            size = self._receive_into(self._view)
        while size is None:
            self._wait(_IN, timeout)
            size = self._receive_into(self._view)
        self._last = size
        self._little = 0 if size >= _PLENTY else self._little + 1
        if not size and self._closed:
            raise ClientClosed("the connection was closed")
        if size:
            feed(self._view[:size])
        return size > 0

    def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; waits while the other side is behind.

        Args:
            data: what to send.
            timeout: seconds to wait; None is for ever.
            gather: take in meanwhile what the other side sends, for the next :meth:`read`;
                off if another thread reads.

        Raises:
            Timeout: it took nothing for so long.
            ConnectionLost: it takes no more.
        """
        view = memoryview(data)
        self._last = self._little = 0
        while view:
            if self._closed:
                raise ClientClosed("the connection was closed")
            try:
                view = view[self._socket.send(view) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._broken(error) from None
            wanted = _IN | _OUT if gather and not self._eof else _OUT
            if self._wait(wanted, timeout) & _IN:
                self._buffer.append(self._receive())

    def write_eof(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            # It has ended altogether, which the next read tells.
            return

    def close(self) -> None:
        """End the connection; who reads from it is told so."""
        if self._closed:
            return
        self._closed = True
        # Closing alone would not wake a thread that waits for it.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def abort(self) -> None:
        """End the connection."""
        self.close()

    def complaint(self) -> str:
        """What is known about why it ended."""
        return self._tunnel.complaint() if self._tunnel is not None else ""

    def _receive(self) -> bytes:
        """What is there; at the end, and if there was nothing after all, no bytes."""
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._broken(error) from None
        if not data:
            self._eof = True
        return data

    def _receive_into(self, view: memoryview) -> int | None:
        """How many bytes were there; None if there was nothing after all."""
        try:
            size = self._socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._broken(error) from None
        if not size:
            self._eof = True
        return size

    def _broken(self, error: OSError) -> ClientClosed | ConnectionLost:
        if self._closed:
            return ClientClosed("the connection was closed")
        return ConnectionLost(f"the connection broke: {error.strerror or error}")

    def _wait(self, events: int, timeout: float | None) -> int:
        try:
            poll = self._poll
            if events != _IN:
                # Another thread may be waiting to read.
                poll = select.poll()
                poll.register(self._socket, events)
            ready = poll.poll(None if timeout is None else max(0, timeout * 1000))
        except (OSError, ValueError) as error:
            if self._closed:
                raise ClientClosed("the connection was closed") from None
            raise ConnectionLost(f"the connection broke: {error}") from None
        if not ready:
            raise Timeout("the engine took longer than it was given")
        return ready[0][1]


def connect(address: Address, tunnels: "Tunnels | None", timeout: float | None) -> Stream:
    """Reach an engine.

    Args:
        address: where it is; of its TLS the caller takes care.
        tunnels: those of ssh, if that is the way.
        timeout: seconds; None is for ever.

    Raises:
        ConnectFailed: nobody is there, or not within that time.
    """
    if tunnels is not None:
        tunnel = tunnels.open()
        return Stream(tunnel.socket, tunnel)
    try:
        if address.scheme != "unix":
            made = socket.create_connection((address.host, address.port), timeout)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return Stream(made)
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(timeout)
            made.connect(address.path)
        except BaseException:
            made.close()
            raise
        return Stream(made)
    except TimeoutError:
        raise ConnectFailed(f"no connection to {address} within {timeout} seconds") from None
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {address}: {error.strerror or error}") from None


def pieces(body: Body) -> Iterator[bytes]:
    """The bytes of a body as they come."""
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
        return
    reading = getattr(body, "read", None)
    if reading is None:
        yield from body
        return
    while piece := reading(_PIECE):
        yield piece


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks."""
    return function(*arguments)


def consume(pull: Callable[[], bytes], function: Callable[[Callable[[], bytes]], T]) -> T:
    """Call what wants pieces of a stream.

    Args:
        pull: gives the next piece, ``b""`` at the end.
        function: is called with it.
    """
    return function(pull)


def now() -> float:
    """The clock that deadlines go by, in seconds."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
