"""One client's connection, whose requests are answered one after the other.

One task serves the connection. While an answer is streamed, the task is *interruptible*:
when the client closes the connection, the task is cancelled and the source of the stream
is closed. At all other times the task continues, since an engine that creates or stops
something shall finish even if the client no longer waits.

A client that closes only its sending half still expects its answer. On a unix socket
this differs from a full close; over TCP, as with dockerd, closing the sending half ends
a stream that is being answered, except on a hijacked connection, where it ends the input.
"""

import asyncio
import fcntl
import select
import socket
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import structlog

from palan.server.exchange import ClientGone, Exchange
from palan.server.http1 import ProtocolError, RequestHead, RequestReader, error_response


__all__ = ["Connection", "Handler"]

Handler = Callable[[Exchange], Awaitable[None]]

_MAX_UNREAD: Final = 256 * 1024
"""Bytes to buffer until they are read; then receiving is paused."""

_HEAD_TIMEOUT: Final = 60.0
"""Seconds to wait for the rest of a request's head."""

_LINGER: Final = 2.0
"""Seconds to read and discard input before closing, so that the client can read the answer."""

_READ_CHECK: Final = 0.0005
"""Seconds between checks whether the client has read everything."""

_GONE_CHECK: Final = 1.0
"""Seconds between checks whether a client that closed its sending half is still connected."""

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection."""

    def __init__(self, handler: Handler, connections: set["Connection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.reader = RequestReader()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]
        self._data_came: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading_paused = False
        self._busy = False
        self._interruptible = False
        self._raw: list[bytes] | None = None
        """Data received since the connection was hijacked; None before."""

        self._raw_size = 0
        self.at_eof = False
        """Whether the client has closed its sending half."""

        self.lost = False
        """Whether the connection is closed in both directions."""

        self.stopping = False
        """Whether the server is stopping: no further request is accepted."""

    # ---- called by the event loop ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the task that serves the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._task = self._loop.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Buffer what the client has sent."""
        if self._raw is None:
            self.reader.receive(data)
            unread = self.reader.buffered
        else:
            self._raw.append(data)
            self._raw_size += len(data)
            unread = self._raw_size
        if unread > _MAX_UNREAD and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that the client has closed its sending half."""
        self.at_eof = True
        self._wake()
        if self._busy:
            self._check_client()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything that waits for the connection."""
        _ = exc
        self.lost = True
        self._connections.discard(self)
        self._writable.set()
        self._wake()
        if self._interruptible:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Let writers wait: the client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers continue."""
        self._writable.set()

    # ---- reading and writing ----

    async def more_data(self) -> bool:
        """Wait until more has been received; return False when nothing more will be."""
        if self.at_eof or self.lost:
            return False
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._data_came = self._loop.create_future()
        try:
            await self._data_came
        finally:
            self._data_came = None
        return True

    async def read_raw(self) -> bytes:
        """Return the bytes received over the hijacked connection; empty at the end."""
        assert self._raw is not None  # noqa: S101 - only hijacked connections are read so
        while not self._raw:
            if not await self.more_data():
                return b""
        data = self._raw[0] if len(self._raw) == 1 else b"".join(self._raw)
        self._raw.clear()
        self._raw_size = 0
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client reads too slowly.

        Raises:
            ClientGone: the connection is closed.
        """
        self._check_connected()
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            self._check_connected()

    async def until_read(self, seconds: float) -> None:
        """Wait until a local client has read everything, for at most that long."""
        deadline = self._loop.time() + seconds
        while not self.lost and self._is_local() and self._unread() > 0:
            if self._loop.time() > deadline:
                return
            await asyncio.sleep(_READ_CHECK)

    def _unread(self) -> int:
        """Return the bytes that the client has not read, with the kernel's overhead."""
        sock = self._transport.get_extra_info("socket")
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def _check_connected(self) -> None:
        if self.lost:
            raise ClientGone

    def hijack(self) -> None:
        """Stop reading HTTP from this connection: its bytes are a raw stream now."""
        rest = self.reader.detach()
        self._raw = [rest] if rest else []
        self._raw_size = len(rest)

    def abort(self) -> None:
        """Reset the connection, so that the client notices that the answer is incomplete."""
        if not self.lost:
            self._transport.abort()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise :class:`ClientGone` in the body of the context when the client closes."""
        self._check_connected()
        self._interruptible = True
        try:
            yield
        except asyncio.CancelledError:
            if self.lost and not self.stopping:
                self._task.uncancel()
                raise ClientGone from None
            raise
        finally:
            self._interruptible = False

    # ---- the life of a connection ----

    async def _serve(self) -> None:
        linger = False
        try:
            while not self.stopping and (head := await self._next_head()) is not None:
                exchange = Exchange(self, head)
                self._busy = True
                try:
                    await self._handler(exchange)
                    linger = await exchange.finish_request()
                finally:
                    self._busy = False
                if exchange.closes:
                    break
        except ProtocolError as error:
            linger = True
            if not self.lost:
                self._transport.write(error_response(error))
        except ClientGone:
            pass
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:  # noqa: BLE001 - one connection's failure is not the server's
            _log.exception("connection failed")
            self.abort()
        await self._close(linger=linger)

    async def _next_head(self) -> RequestHead | None:
        timer: asyncio.TimerHandle | None = None
        try:
            while (head := self.reader.next_head()) is None:
                if timer is None and self.reader.buffered:
                    timer = self._loop.call_later(_HEAD_TIMEOUT, self.abort)
                if not await self.more_data():
                    return None
            return head
        finally:
            if timer is not None:
                timer.cancel()

    async def _close(self, *, linger: bool) -> None:
        """Close after everything is sent.

        Args:
            linger: whether the client may still be sending. Closing a socket with unread
                bytes resets the connection, and the client might never read the answer.
        """
        if self.lost:
            return
        if linger and not self.at_eof and self._transport.can_write_eof():
            self._transport.write_eof()
            # Aborting by a timer would discard unsent data.
            deadline = self._loop.time() + _LINGER
            try:
                async with asyncio.timeout_at(deadline):
                    while await self.more_data():
                        self.reader.detach()
                        if self._raw is not None:
                            self._raw.clear()
                            self._raw_size = 0
            except TimeoutError:
                pass
        if not self.lost:
            self._transport.close()

    def stop(self) -> None:
        """Accept no further request; close now if no request is being answered."""
        self.stopping = True
        if not self._busy and not self.lost:
            self._transport.close()

    def interrupt(self) -> None:
        """End now if a stream is being sent, which might never end."""
        if self._interruptible:
            self.kill()

    def kill(self) -> None:
        """End now, in any state."""
        self.stopping = True
        self._task.cancel()
        self.abort()

    async def wait_closed(self) -> None:
        """Wait until the task of the connection has ended."""
        await asyncio.wait([self._task])

    def _wake(self) -> None:
        if self._data_came is not None and not self._data_came.done():
            self._data_came.set_result(None)

    def _check_client(self) -> None:
        """Reset the connection if the client has closed both halves."""
        if self.lost or not self._busy:
            return
        half_close_is_end = self._interruptible and self._raw is None and not self._is_local()
        if half_close_is_end or self._hung_up():
            self.abort()
        else:
            self._loop.call_later(_GONE_CHECK, self._check_client)

    def _is_local(self) -> bool:
        family: int = self._transport.get_extra_info("socket").family
        return family == socket.AF_UNIX

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
