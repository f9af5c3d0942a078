"""Connections to an engine, for asyncio.

``_sync/io.py`` has the same names for blocking sockets; the modules above both are written once.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from palan.client._address import Address
from palan.client.errors import (
    ClientClosed,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    Timeout,
    WrongEventLoop,
)


if TYPE_CHECKING:
    from palan.client._ssh import Tunnel, Tunnels


__all__ = [
    "AsyncBody",
    "AsyncSlots",
    "AsyncStream",
    "body_chunks",
    "check_owner",
    "connect",
    "consume",
    "in_thread",
    "now",
    "sleep",
]

AsyncBody = bytes | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
"""A request's body: bytes, a file, or an iterable of bytes."""

_MAX_BUFFERED: Final = 1 << 20
"""Unread bytes above which reading from the socket is paused."""

_READ_SIZE: Final = 1 << 17
"""The most bytes that are read at once."""

_FILE_CHUNK: Final = 1 << 18
"""Bytes of a file that are sent at once."""

_LARGE_READ: Final = 1 << 14
_MAX_SMALL_READS: Final = 32
_PAUSE: Final = 0.0003
"""After 32 consecutive reads of less than 16 KiB each, wait for 0.3 ms before the next one, so
that output which is written line by line is read in bulk."""

T = TypeVar("T")


class _Buffers(threading.local):
    """The receive buffer of a thread: one for all connections, as each empties it at once."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ_SIZE))


_BUFFERS: Final = _Buffers()

_OF_PARENTS: Final[list[object]] = []
"""Connections that this process has inherited by a fork."""


def check_owner(owner: object) -> object:
    """Return the running process and event loop, the owner of connections.

    Args:
        owner: the result of an earlier call, or None.

    Raises:
        WrongEventLoop: the process is the same, and the event loop is another one.
    """
    here = (os.getpid(), asyncio.get_running_loop())
    if isinstance(owner, tuple) and owner[0] == here[0] and owner[1] is not here[1]:
        raise WrongEventLoop(
            "this AsyncClient belongs to the event loop that used it first; "
            "make one client for each event loop"
        )
    return here


class AsyncSlots:
    """A limited number of slots, of which every short call needs one while it lasts."""

    def __init__(self, count: int) -> None:
        self._semaphore = asyncio.Semaphore(count)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self, timeout: float | None) -> None:
        """Wait for a free slot and take it.

        Raises:
            Timeout: no slot was released in time.
        """
        self._loop = asyncio.get_running_loop()
        if not self._semaphore.locked():
            await self._semaphore.acquire()
            return
        try:
            async with asyncio.timeout(timeout):
                await self._semaphore.acquire()
        except TimeoutError:
            raise Timeout("earlier calls took longer than this call was given") from None

    def release(self) -> None:
        """Release a slot; can be called by any thread."""
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                self._semaphore.release()
                return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._semaphore.release)


class AsyncStream(asyncio.BufferedProtocol):
    """One connection, as a stream of bytes.

    Bytes that arrive during a write are buffered, so that the two sides never block each other.
    """

    def __init__(self, tunnel: "Tunnel | None" = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._transport: Any = None
        self._tunnel = tunnel
        self._buffer: deque[bytes] = deque()
        self._feed: Callable[[memoryview], None] | None = None
        self._size = self._small_reads = 0
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
        """Whether :meth:`read` would return at once."""
        return bool(self._buffer) or self._eof

    def is_idle(self) -> bool:
        """Return whether the connection is open, of this process, and has no unread bytes."""
        return not (self._buffer or self._eof or self._closed or self._process != os.getpid())

    async def read(self, timeout: float | None) -> bytes:
        """Wait for bytes and return them; ``b""`` at the end of the stream.

        Args:
            timeout: seconds; None is no limit.

        Raises:
            Timeout: no bytes arrived.
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
            data = await self.read(timeout)
            if data:
                feed(memoryview(data))
            return bool(data)
        if self._small_reads >= _MAX_SMALL_READS:
            await self._pause()
        self._feed = feed
        self._reader = reader = self._loop.create_future()
        try:
            await self._wait(reader, timeout)
        finally:
            self._reader = self._feed = None
        if reader.result():
            return True
        return await self.read_into(feed, timeout)

    async def _pause(self) -> None:
        """Wait shortly, so that more bytes arrive before the next read."""
        self._transport.pause_reading()
        try:
            await asyncio.sleep(_PAUSE)
        finally:
            if not self._closed:
                self._transport.resume_reading()

    async def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; wait while the other side does not read.

        Args:
            data: the bytes to send.
            timeout: seconds to wait; None is no limit.
            gather: without effect: bytes that arrive meanwhile are always buffered.

        Raises:
            Timeout: the other side read nothing in that time.
            ConnectionLost: the other side has closed the connection.
        """
        del gather
        self._small_reads = 0
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
        """End the sending direction; reading remains possible."""
        if not self._closed and not self._lost and self._transport.can_write_eof():
            self._transport.write_eof()

    async def close(self) -> None:
        """Close the connection; a pending read raises ``ClientClosed``."""
        if self._closed:
            return
        if self._process != os.getpid() or self._loop is not asyncio.get_running_loop():
            self.abort()
            return
        self._closed = True
        self._wake()
        if self._transport is not None:
            self._transport.abort()
        if self._tunnel is not None:
            await asyncio.shield(self._loop.run_in_executor(None, self._tunnel.close))

    def abort(self) -> None:
        """Close the connection without waiting for anything; can be called by any thread."""
        if self._process != os.getpid():
            # The connection is the parent's, and so is the selector that the loop registered it
            # with. The reference prevents that the destructors of both are run here.
            self._closed = True
            _OF_PARENTS.append(self)
        elif self._loop.is_closed():
            self._closed = True
            with contextlib.suppress(RuntimeError):
                self._transport.abort()
        elif not self._closed:
            self._closed = True
            self._loop.call_soon_threadsafe(self._transport.abort)
            if self._tunnel is not None:
                self._loop.call_soon_threadsafe(
                    self._loop.run_in_executor, None, self._tunnel.close
                )

    def error_output(self) -> str:
        """Return the error output of ssh, if the connection goes through it."""
        return self._tunnel.error_output() if self._tunnel is not None else ""

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

    # ---- callbacks of asyncio -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the new connection."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes."""
        del sizehint
        return _BUFFERS.view

    def buffer_updated(self, nbytes: int) -> None:
        """Pass received bytes to the reader, or keep them."""
        self._small_reads = 0 if nbytes >= _LARGE_READ else self._small_reads + 1
        if self._feed is not None:
            self._deliver(self._feed, _BUFFERS.view[:nbytes])
            return
        self._buffer.append(bytes(_BUFFERS.view[:nbytes]))
        self._size += nbytes
        # While a write waits, reading must continue, or both sides would wait for ever.
        if self._size > _MAX_BUFFERED and not self._reading_paused and not self._writing_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(False)

    def _deliver(self, feed: Callable[[memoryview], None], data: memoryview) -> None:
        # Bytes that arrive before the reader runs again go into the buffer.
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
        """Note that the other side sends no more; it may still read."""
        self._eof = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection and its error, if any."""
        self._eof = self._lost = True
        self._error = exc
        self._wake()

    def pause_writing(self) -> None:
        """Let writers wait, as the other side does not read."""
        self._writing_paused = True
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def resume_writing(self) -> None:
        """Let writers continue."""
        self._writing_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(True)


def _expire(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(Timeout("the engine took longer than it was given"))


async def connect(
    address: Address, tunnels: "Tunnels | None", timeout: float | None
) -> AsyncStream:
    """Connect to an engine.

    Args:
        address: the engine's address; the caller adds TLS.
        tunnels: the connections through ssh, if the address is one of ssh.
        timeout: seconds; None is no limit.

    Raises:
        ConnectFailed: the engine cannot be reached, or not in time.
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


async def body_chunks(body: AsyncBody) -> AsyncIterator[bytes]:
    """Yield the bytes of a body; blocking sources are read in a thread."""
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
        return
    if isinstance(body, AsyncIterable):
        async for chunk in body:
            yield chunk
        return
    reading = getattr(body, "read", None)
    if reading is not None:
        while chunk := await asyncio.to_thread(reading, _FILE_CHUNK):
            yield chunk
        return
    iterator = iter(body)
    while (item := await asyncio.to_thread(_next, iterator)) is not None:
        yield item


def _next(iterator: Iterator[bytes]) -> bytes | None:
    # A StopIteration cannot be raised out of a thread.
    return next(iterator, None)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function in a thread."""
    return await asyncio.to_thread(function, *arguments)


async def consume(
    pull: Callable[[], Awaitable[bytes]], function: Callable[[Callable[[], bytes]], T]
) -> T:
    """Call a blocking function that reads a stream, in a thread.

    Args:
        pull: returns the next chunk of the stream, ``b""`` at the end.
        function: called with a blocking version of ``pull``.
    """
    loop = asyncio.get_running_loop()
    ended = False

    async def next_chunk() -> bytes:
        return await pull()

    def blocking() -> bytes:
        if ended:
            raise ClientClosed("the call was cancelled")
        return asyncio.run_coroutine_threadsafe(next_chunk(), loop).result()

    try:
        return await asyncio.to_thread(function, blocking)
    finally:
        ended = True


def now() -> float:
    """Return the time of the clock that deadlines use, in seconds."""
    return asyncio.get_running_loop().time()


async def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    await asyncio.sleep(seconds)
