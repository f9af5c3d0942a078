"""Connections to an engine, for blocking callers.

``_async/io.py`` has the same names for asyncio; the modules above both are written once.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from palan.client._address import Address
from palan.client.errors import ClientClosed, ConnectFailed, ConnectionLost, Timeout


if TYPE_CHECKING:
    from palan.client._ssh import Tunnel, Tunnels


__all__ = [
    "Body",
    "Slots",
    "Stream",
    "body_chunks",
    "check_owner",
    "connect",
    "consume",
    "in_thread",
    "now",
    "sleep",
]

Body = bytes | IO[bytes] | Iterable[bytes]
"""A request's body: bytes, a file, or an iterable of bytes."""

_READ_SIZE: Final = 1 << 17
"""The most bytes that are read at once."""

_FILE_CHUNK: Final = 1 << 18
"""Bytes of a file that are sent at once."""

_LARGE_READ: Final = 1 << 14
_MAX_SMALL_READS: Final = 32
_PAUSE: Final = 0.0003
"""After 32 consecutive reads of less than 16 KiB each, wait for 0.3 ms before the next one, so
that output which is written line by line is read in bulk."""

_IN: Final = select.POLLIN
_OUT: Final = select.POLLOUT

T = TypeVar("T")


def check_owner(owner: object) -> object:
    """Return the running process, the owner of connections."""
    del owner
    return os.getpid()


class Slots:
    """Slots without a limit: the number of threads limits the calls already."""

    def __init__(self, count: int) -> None:
        del count

    def acquire(self, timeout: float | None) -> None:
        """Take a slot."""

    def release(self) -> None:
        """Release a slot."""


class Stream:
    """One connection, as a stream of bytes.

    Bytes that arrive during a write are buffered, so that the two sides never block each other.
    Another thread may close the connection at any time.
    """

    def __init__(self, sock: socket.socket, tunnel: "Tunnel | None" = None) -> None:
        sock.setblocking(False)
        self._process = os.getpid()
        self._socket = sock
        self._tunnel = tunnel
        self._buffer: list[bytes] = []
        self._view: memoryview | None = None
        self._last_size = self._small_reads = 0
        self._eof = False
        self._closed = False
        self._poll = select.poll()
        self._poll.register(sock, _IN)

    @property
    def has_input(self) -> bool:
        """Whether :meth:`read` would return at once."""
        return bool(self._buffer) or self._eof or bool(self._poll.poll(0))

    def is_idle(self) -> bool:
        """Return whether the connection is open, of this process, and has no unread bytes."""
        return not (self._closed or self._process != os.getpid() or self.has_input)

    def read(self, timeout: float | None) -> bytes:
        """Wait for bytes and return them; ``b""`` at the end of the stream.

        Args:
            timeout: seconds; None is no limit.

        Raises:
            Timeout: no bytes arrived.
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
        """Wait for bytes and pass them to a function.

        Args:
            feed: called with the bytes; copies those that it keeps.
            timeout: seconds; None is no limit.

        Returns:
            Whether bytes arrived; false at the end of the stream.

        Raises:
            Timeout: no bytes arrived.
            ConnectionLost: the connection broke.
        """
        if self._buffer or self._eof or self._closed:
            data = self.read(timeout)
            if data:
                feed(memoryview(data))
            return bool(data)
        if self._small_reads >= _MAX_SMALL_READS:
            sleep(_PAUSE)
        if self._view is None:
            self._view = memoryview(bytearray(_READ_SIZE))
        size = None
        if self._last_size >= _READ_SIZE // 2:
            # More bytes are probably there, so polling first would be wasted.
            size = self._receive_into(self._view)
        while size is None:
            self._wait(_IN, timeout)
            size = self._receive_into(self._view)
        self._last_size = size
        self._small_reads = 0 if size >= _LARGE_READ else self._small_reads + 1
        if not size and self._closed:
            raise ClientClosed("the connection was closed")
        if size:
            feed(self._view[:size])
        return size > 0

    def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; wait while the other side does not read.

        Args:
            data: the bytes to send.
            timeout: seconds to wait; None is no limit.
            gather: buffer bytes that arrive meanwhile for the next :meth:`read`; must be false
                if another thread reads.

        Raises:
            Timeout: the other side read nothing in that time.
            ConnectionLost: the other side has closed the connection.
        """
        view = memoryview(data)
        self._last_size = self._small_reads = 0
        while view:
            if self._closed:
                raise ClientClosed("the connection was closed")
            try:
                view = view[self._socket.send(view) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._translate(error) from None
            wanted = _IN | _OUT if gather and not self._eof else _OUT
            if self._wait(wanted, timeout) & _IN:
                self._buffer.append(self._receive())

    def write_eof(self) -> None:
        """End the sending direction; reading remains possible."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            # The whole connection has ended, which the next read reports.
            return

    def close(self) -> None:
        """Close the connection; a pending read raises ``ClientClosed``."""
        if self._closed:
            return
        self._closed = True
        if self._process != os.getpid():
            # After a fork, the connection is the parent's; only the descriptor is a copy.
            self._socket.close()
            return
        # Closing alone would not wake a thread that waits for bytes.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def abort(self) -> None:
        """Close the connection."""
        self.close()

    def error_output(self) -> str:
        """Return the error output of ssh, if the connection goes through it."""
        return self._tunnel.error_output() if self._tunnel is not None else ""

    def _receive(self) -> bytes:
        """Return available bytes; ``b""`` without any, or at the end of the stream."""
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._translate(error) from None
        if not data:
            self._eof = True
        return data

    def _receive_into(self, view: memoryview) -> int | None:
        """Receive into a buffer and return the number of bytes; None if none were available."""
        try:
            size = self._socket.recv_into(view)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._translate(error) from None
        if not size:
            self._eof = True
        return size

    def _translate(self, error: OSError) -> ClientClosed | ConnectionLost:
        if self._closed:
            return ClientClosed("the connection was closed")
        return ConnectionLost(f"the connection broke: {error.strerror or error}")

    def _wait(self, events: int, timeout: float | None) -> int:
        try:
            poll = self._poll
            if events != _IN:
                # A poll object of its own, as another thread may be waiting to read.
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
    """Connect to an engine.

    Args:
        address: the engine's address; the caller adds TLS.
        tunnels: the connections through ssh, if the address is one of ssh.
        timeout: seconds; None is no limit.

    Raises:
        ConnectFailed: the engine cannot be reached, or not in time.
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


def body_chunks(body: Body) -> Iterator[bytes]:
    """Yield the bytes of a body."""
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
        return
    reading = getattr(body, "read", None)
    if reading is None:
        yield from body
        return
    while chunk := reading(_FILE_CHUNK):
        yield chunk


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function."""
    return function(*arguments)


def consume(pull: Callable[[], bytes], function: Callable[[Callable[[], bytes]], T]) -> T:
    """Call a function that reads a stream.

    Args:
        pull: returns the next chunk of the stream, ``b""`` at the end.
        function: called with ``pull``.
    """
    return function(pull)


def now() -> float:
    """Return the time of the clock that deadlines use, in seconds."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    time.sleep(seconds)
