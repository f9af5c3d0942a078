"""One client's connection: requests come in order, each is answered before the next.

Everything about one connection happens in one task.  While an answer is streamed the
task is *interruptible*: when the client goes, it is cancelled where it waits, and what
produced the stream is closed.  At all other times it runs on, since an engine that was
told to create or stop something shall finish it even if nobody waits for the answer.

A client that closes only its sending half still wants its answer.  On a unix socket
the two can be told apart; over TCP, as with dockerd, a stream that is being answered
ends with the client's half, but for a hijacked one, where it means end of input.
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
"""Bytes to take in before somebody wants them; then the client has to wait."""

_HEAD_TIMEOUT: Final = 60.0
"""Seconds for the rest of a request's head to come."""

_LINGER: Final = 2.0
"""Seconds to go on reading what nobody wants, so that the client gets to read our answer."""

_LOOK_AGAIN: Final = 0.0005
"""Seconds between looks whether a client has read what it was sent."""

_GONE_CHECK: Final = 1.0
"""Seconds between looks whether a client that has no more to send is still there."""

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one connection."""

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
        """What came since the connection was hijacked; None before."""

        self._raw_size = 0
        self.at_eof = False
        """The client has said that it will send nothing more."""

        self.lost = False
        """The connection is no more."""

        self.stopping = False
        """The server stops: no further request is taken."""

    # ---- what the event loop calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._task = self._loop.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
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
        """The client sends nothing more, but may still read."""
        self.at_eof = True
        self._wake()
        if self._busy:
            self._look_for_client()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more, in both directions."""
        _ = exc
        self.lost = True
        self._connections.discard(self)
        self._writable.set()
        self._wake()
        if self._interruptible:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    # ---- reading and writing ----

    async def more_data(self) -> bool:
        """Wait until more has come; False when nothing more will."""
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
        """What has come over the hijacked connection; empty when nothing more will."""
        assert self._raw is not None  # noqa: S101 - only hijacked connections are read so
        while not self._raw:
            if not await self.more_data():
                return b""
        data = self._raw[0] if len(self._raw) == 1 else b"".join(self._raw)
        self._raw.clear()
        self._raw_size = 0
        return data

    async def write(self, data: bytes) -> None:
        """Send; wait while the client does not keep up.

        Raises:
            ClientGone: nobody is there.
        """
        self._check_there()
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            self._check_there()

    async def until_read(self, seconds: float) -> None:
        """Wait until a local client has read all that was sent, but no longer than that."""
        deadline = self._loop.time() + seconds
        while not self.lost and self._is_local() and self._unread() > 0:
            if self._loop.time() > deadline:
                return
            await asyncio.sleep(_LOOK_AGAIN)

    def _unread(self) -> int:
        """Bytes (and what the kernel needs for them) that the client has not read."""
        sock = self._transport.get_extra_info("socket")
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def _check_there(self) -> None:
        if self.lost:
            raise ClientGone

    def hijack(self) -> None:
        """From now on the bytes of this connection are nobody's HTTP."""
        rest = self.reader.detach()
        self._raw = [rest] if rest else []
        self._raw_size = len(rest)

    def abort(self) -> None:
        """Break the connection off, so that the client sees that something is missing."""
        if not self.lost:
            self._transport.abort()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What is done in here ends as soon as the client goes, with :class:`ClientGone`."""
        self._check_there()
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
        """Close when all is sent.

        Args:
            linger: the client may still be sending.  Closing a socket with unread bytes in
                it resets the connection, and the client might never read our answer.
        """
        if self.lost:
            return
        if linger and not self.at_eof and self._transport.can_write_eof():
            self._transport.write_eof()
            # A timer that aborts would drop what is still to be written.
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
        """Take no further request; close now if none is being answered."""
        self.stopping = True
        if not self._busy and not self.lost:
            self._transport.close()

    def interrupt(self) -> None:
        """End now if it is a stream, which might go on for ever."""
        if self._interruptible:
            self.kill()

    def kill(self) -> None:
        """End now, whatever is being done."""
        self.stopping = True
        self._task.cancel()
        self.abort()

    async def wait_closed(self) -> None:
        """Wait until nothing is done for this client any more."""
        await asyncio.wait([self._task])

    def _wake(self) -> None:
        if self._data_came is not None and not self._data_came.done():
            self._data_came.set_result(None)

    def _look_for_client(self) -> None:
        """End the connection if the client that stopped sending has also stopped reading."""
        if self.lost or not self._busy:
            return
        half_close_is_end = self._interruptible and self._raw is None and not self._is_local()
        if half_close_is_end or self._hung_up():
            self.abort()
        else:
            self._loop.call_later(_GONE_CHECK, self._look_for_client)

    def _is_local(self) -> bool:
        family: int = self._transport.get_extra_info("socket").family
        return family == socket.AF_UNIX

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
