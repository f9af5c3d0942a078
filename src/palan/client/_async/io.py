"""Bytes to and from an engine, for asyncio.

``_sync/io.py`` has the same names for blocking sockets; everything above them is written once.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from palan.client._address import Address
from palan.client.errors import ClientClosed, ClientError, ConnectFailed, ConnectionLost, Timeout


if TYPE_CHECKING:
    from palan.client._ssh import Tunnel, Tunnels


__all__ = ["AsyncBody", "AsyncStream", "connect", "consume", "in_thread", "now", "pieces", "sleep"]

AsyncBody = bytes | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
"""What can be sent: all of it, a file, or pieces as they come."""

_HIGH: Final = 1 << 20
"""Bytes waiting to be read above which the other side is made to wait."""

_READ: Final = 1 << 17
"""Bytes that are read at once."""

_PIECE: Final = 1 << 18
"""Bytes of a file that are sent at once."""

_PLENTY: Final = 1 << 14
_LITTLE: Final = 32
_NAP: Final = 0.0003
"""After so many reads in a row of less than so many bytes, wait for so many seconds before the
next: what is written line by line, and faster than that, is then read in bulk."""

T = TypeVar("T")


class _Buffers(threading.local):
    """What a loop receives into: one for all connections, as each empties it at once."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ))


_BUFFERS: Final = _Buffers()


class AsyncStream(asyncio.BufferedProtocol):
    """One connection, as bytes in order.

    What comes in while something is written is kept, so that neither side waits for the other.
    """

    def __init__(self, tunnel: "Tunnel | None" = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._tunnel = tunnel
        self._buffer: deque[bytes] = deque()
        self._feed: Callable[[memoryview], None] | None = None
        self._size = self._little = 0
        self._eof = False
        self._error: Exception | None = None
        self._lost = False
        self._closed = False
        self._reading_paused = False
        self._writing_paused = False
        self._reader: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None

    @property
    def has_input(self) -> bool:
        """Whether :meth:`read` would answer at once."""
        return bool(self._buffer) or self._eof

    def is_idle(self) -> bool:
        """Whether the connection is open and the other side has said nothing unasked."""
        return not (self._buffer or self._eof or self._closed)

    async def read(self, timeout: float | None) -> bytes:
        """What has come in; waits for at least a byte, and gives none at the end.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: nothing came.
            ConnectionLost: the connection broke.
        """
        while not self._buffer:
            if self._closed:
                raise ClientClosed("the connection was closed")
            if self._eof:
                if self._error is not None:
                    raise ConnectionLost(f"the connection broke: {self._error}")
                return b""
            self._reader = reader = self._loop.create_future()
            try:
                await self._wait(reader, timeout)
            finally:
                self._reader = None
        if len(self._buffer) == 1:
            data = self._buffer.popleft()
        else:
            data = b"".join(self._buffer)
            self._buffer.clear()
        self._size = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def read_into(self, feed: Callable[[memoryview], None], timeout: float | None) -> bool:
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
            data = await self.read(timeout)
            if data:
                feed(memoryview(data))
            return bool(data)
        if self._little >= _LITTLE:
            await self._nap()
        self._feed = feed
        self._reader = reader = self._loop.create_future()
        try:
            await self._wait(reader, timeout)
        finally:
            self._reader = self._feed = None
        if reader.result():
            return True
        return await self.read_into(feed, timeout)

    async def _nap(self) -> None:
        """Let more come together."""
        self._transport.pause_reading()
        try:
            await asyncio.sleep(_NAP)
        finally:
            if not self._closed:
                self._transport.resume_reading()

    async def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; waits while the other side is far behind.

        Args:
            data: what to send.
            timeout: seconds to wait; None is for ever.
            gather: without effect: what comes in meanwhile is always taken.

        Raises:
            Timeout: it took nothing for so long.
            ConnectionLost: it takes no more.
        """
        del gather
        self._little = 0
        if self._closed:
            raise ClientClosed("the connection was closed")
        if self._lost:
            raise ConnectionLost("the connection was closed by the engine")
        self._transport.write(data)
        while self._writing_paused:
            self._writer = self._loop.create_future()
            try:
                await self._wait(self._writer, timeout)
            finally:
                self._writer = None
            if self._lost:
                raise ConnectionLost("the connection was closed by the engine")

    async def write_eof(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        if not self._closed and not self._lost and self._transport.can_write_eof():
            self._transport.write_eof()

    async def close(self) -> None:
        """End the connection; who reads from it is told so."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        if self._transport is not None:
            self._transport.abort()
        if self._tunnel is not None:
            await asyncio.shield(self._loop.run_in_executor(None, self._tunnel.close))

    def abort(self) -> None:
        """End the connection without waiting for anything; can be called by any thread."""
        if not self._closed and not self._loop.is_closed():
            self._closed = True
            self._loop.call_soon_threadsafe(self._transport.abort)
            if self._tunnel is not None:
                self._loop.call_soon_threadsafe(
                    self._loop.run_in_executor, None, self._tunnel.close
                )

    def complaint(self) -> str:
        """What is known about why it ended."""
        return self._tunnel.complaint() if self._tunnel is not None else ""

    async def _wait(self, future: "asyncio.Future[Any]", timeout: float | None) -> None:
        if timeout is None:
            await future
            return
        timer = self._loop.call_later(max(0, timeout), _expire, future)
        try:
            await future
        finally:
            timer.cancel()

    def _wake(self) -> None:
        for future in (self._reader, self._writer):
            if future is not None and not future.done():
                future.set_result(False)

    # ---- what asyncio calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put what comes in."""
        del sizehint
        return _BUFFERS.view

    def buffer_updated(self, nbytes: int) -> None:
        """Something came in."""
        self._little = 0 if nbytes >= _PLENTY else self._little + 1
        if self._feed is not None:
            self._hand_over(self._feed, _BUFFERS.view[:nbytes])
            return
        self._buffer.append(bytes(_BUFFERS.view[:nbytes]))
        self._size += nbytes
        # Who waits to write must be able to read, or both sides would wait for ever.
        if self._size > _HIGH and not self._reading_paused and not self._writing_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(False)

    def _hand_over(self, feed: Callable[[memoryview], None], data: memoryview) -> None:
        # What comes before the reader runs again is kept.
        self._feed = None
        try:
            feed(data)
        except ClientError as error:
            if self._reader is not None and not self._reader.done():
                self._reader.set_exception(error)
        else:
            if self._reader is not None and not self._reader.done():
                self._reader.set_result(True)

    def eof_received(self) -> bool:
        """The other side sends no more, but may read."""
        self._eof = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended, in good order or not."""
        self._eof = self._lost = True
        self._error = exc
        self._wake()

    def pause_writing(self) -> None:
        """The other side is behind."""
        self._writing_paused = True
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writing_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(True)


def _expire(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(Timeout("the engine took longer than it was given"))


async def connect(
    address: Address, tunnels: "Tunnels | None", timeout: float | None
) -> AsyncStream:
    """Reach an engine.

    Args:
        address: where it is; of its TLS the caller takes care.
        tunnels: those of ssh, if that is the way.
        timeout: seconds; None is for ever.

    Raises:
        ConnectFailed: nobody is there, or not within that time.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if tunnels is not None:
                tunnel = await loop.run_in_executor(None, tunnels.open)
                _, stream = await loop.create_connection(
                    lambda: AsyncStream(tunnel), sock=tunnel.socket
                )
            elif address.scheme == "unix":
                _, stream = await loop.create_unix_connection(AsyncStream, address.path)
            else:
                transport, stream = await loop.create_connection(
                    AsyncStream, address.host, address.port
                )
                made = transport.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except TimeoutError:
        raise ConnectFailed(f"no connection to {address} within {timeout} seconds") from None
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {address}: {error.strerror or error}") from None
    return stream


async def pieces(body: AsyncBody) -> AsyncIterator[bytes]:
    """The bytes of a body as they come; blocking sources are read in a thread."""
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
        return
    if isinstance(body, AsyncIterable):
        async for piece in body:
            yield piece
        return
    reading = getattr(body, "read", None)
    if reading is not None:
        while piece := await asyncio.to_thread(reading, _PIECE):
            yield piece
        return
    iterator = iter(body)
    while (following := await asyncio.to_thread(_next, iterator)) is not None:
        yield following


def _next(iterator: Iterator[bytes]) -> bytes | None:
    # A StopIteration cannot come out of a thread.
    return next(iterator, None)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks, without blocking."""
    return await asyncio.to_thread(function, *arguments)


async def consume(
    pull: Callable[[], Awaitable[bytes]], function: Callable[[Callable[[], bytes]], T]
) -> T:
    """Call what blocks and wants pieces of a stream, in a thread.

    Args:
        pull: gives the next piece, ``b""`` at the end.
        function: is called with the same, for blocking callers.
    """
    loop = asyncio.get_running_loop()
    ended = False

    async def piece() -> bytes:
        return await pull()

    def blocking() -> bytes:
        if ended:
            raise ClientClosed("the call was cancelled")
        return asyncio.run_coroutine_threadsafe(piece(), loop).result()

    try:
        return await asyncio.to_thread(function, blocking)
    finally:
        ended = True


def now() -> float:
    """The clock that deadlines go by, in seconds."""
    return asyncio.get_running_loop().time()


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)
