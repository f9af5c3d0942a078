"""Requests and responses over connections that are kept open for further requests."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Union
from weakref import WeakSet

from palan.client._address import Address
from palan.client._async.io import (
    AsyncBody,
    AsyncSlots,
    AsyncStream,
    body_chunks,
    check_owner,
    connect,
    in_thread,
    now,
)
from palan.client._http1 import ResponseParser, request_head
from palan.client.errors import ClientClosed, ConnectFailed, ConnectionLost


if TYPE_CHECKING:
    from palan.client._async.tls import AsyncTLSStream
    from palan.client._ssh import Tunnels


__all__ = ["AsyncExchange", "AsyncRequest", "AsyncTransport"]

_SMALL: Final = 1 << 16
"""Bodies with fewer bytes than this are sent together with the head."""

_MAX_IDLE: Final = 64
"""The most unused connections that are kept open."""

_MAX_CALLS: Final = 64
"""The most connections that short calls of one asyncio client use at the same time."""

AnyStream = Union[AsyncStream, "AsyncTLSStream"]


class AsyncExchange:
    """A response with its head, and the connection that its body arrives on.

    Attributes:
        answer: the parser of the response, with its status and headers.
        each: seconds to wait for each further chunk; None is no limit.
        deadline: the time limit for the whole response by the clock of ``io.now``, or None.
        reusable: whether the connection may be used for another request afterwards.
        slots: the slots of which the exchange holds one until its end, or None.
    """

    def __init__(
        self,
        transport: "AsyncTransport",
        stream: AnyStream,
        answer: ResponseParser,
        each: float | None,
        deadline: float | None,
    ) -> None:
        self.answer = answer
        self.each = each
        self.deadline = deadline
        self.reusable = True
        self.slots: AsyncSlots | None = None
        self._transport = transport
        self._stream: AnyStream | None = stream
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether the exchange has released its connection."""
        return self._stream is None

    @property
    def stream(self) -> AnyStream:
        """The connection.

        Raises:
            ClientClosed: the exchange has already released its connection.
        """
        if self._stream is None:
            raise ClientClosed("the stream was closed")
        return self._stream

    def left(self) -> float | None:
        """Return the seconds to wait for the next chunk; None is no limit."""
        return self.each if self.deadline is None else self.deadline - now()

    async def chunk(self) -> bytes:
        """Wait for bytes of the body and return them; ``b""`` at its end.

        Raises:
            ConnectionLost: the connection ended before the body was complete.
            Timeout: no bytes arrived in time.
        """
        answer = self.answer
        try:
            while not (data := answer.take_body()) and not answer.complete:
                await self._receive()
        except BaseException:
            await self.close()
            raise
        if not data:
            await self.finish()
        return data

    async def _receive(self) -> None:
        if self._closed:
            raise ClientClosed("the stream was closed")
        answer = self.answer
        if not await self.stream.read_into(answer.feed, self.left()) and not answer.feed_eof():
            raise ConnectionLost("the connection ended in the middle of the response")

    async def read(self, limit: int) -> bytes:
        """Read the rest of the body, or stop once there are more bytes than a limit."""
        data = await self.chunk()
        if self.answer.complete and not self.answer.has_body:
            await self.finish()
            return data
        parts, size = [data], len(data)
        while data and size <= limit:
            data = await self.chunk()
            parts.append(data)
            size += len(data)
        if size > limit:
            await self.close()
        return b"".join(parts)

    async def finish(self) -> None:
        """Release the connection after the whole response was received."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._release_slot()
        if self.reusable and self.answer.reusable:
            await self._transport.release(stream)
        else:
            await stream.close()

    def __del__(self) -> None:
        # The connection of a stream that is dropped before its end is closed here.
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.abort()
            self._release_slot()

    async def close(self) -> None:
        """Close the connection, unless the whole response was received already."""
        self._closed = True
        stream = self._stream
        if stream is not None:
            # Not set to None: a thread that reads from it must find it closed.
            self._release_slot()
            await stream.close()

    def _release_slot(self) -> None:
        slots, self.slots = self.slots, None
        if slots is not None:
            slots.release()


class AsyncRequest:
    """A request.

    Attributes:
        method: the HTTP method.
        target: the path with the query.
        headers: the headers besides those about the body and the host.
        body: the body, or None.
        each: seconds to wait for each chunk of the response, if ``total`` is None; None is no
            limit.
        total: seconds for the whole response, or None.
        hijack: whether to use the connection as a stream, with an ``Upgrade`` or without.
        brief: whether the call ends by itself; the number of such calls at a time is limited.
    """

    __slots__ = ("body", "brief", "each", "headers", "hijack", "method", "target", "total")

    def __init__(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: AsyncBody | None = None,
        *,
        each: float | None = None,
        total: float | None = None,
        hijack: bool = False,
        brief: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.each = each
        self.total = total
        self.hijack = hijack
        self.brief = brief

    def head(self, authority: str) -> bytes:
        """Return the bytes of the request's head."""
        lines = [("Host", authority), *self.headers]
        if isinstance(self.body, bytes):
            lines.append(("Content-Length", str(len(self.body))))
        elif self.body is not None:
            lines.append(("Transfer-Encoding", "chunked"))
        elif self.method in ("POST", "PUT", "PATCH") and not self.hijack:
            lines.append(("Content-Length", "0"))
        return request_head(self.method, self.target, lines)


class AsyncTransport:
    """The connections to one engine."""

    def __init__(self, address: Address, connect_timeout: float | None) -> None:
        self.address = address
        self._connect_timeout = connect_timeout
        self._tunnels: Tunnels | None = None
        if address.scheme == "ssh":
            from palan.client import _ssh

            self._tunnels = _ssh.Tunnels(address)
        self._owner: object = None
        self._slots = AsyncSlots(_MAX_CALLS)
        self._idle: list[AnyStream] = []
        self._streams: WeakSet[AsyncStream] = WeakSet()
        self._closed = False

    async def send(self, request: AsyncRequest) -> AsyncExchange:
        """Send a request and wait for the head of its response.

        Raises:
            TransportError: no response arrived.
            WrongEventLoop: another event loop has used the client before.
        """
        self._claim()
        deadline = None if request.total is None else now() + request.total
        if not request.brief:
            return await self._send(request, deadline)
        slots = self._slots
        await slots.acquire(request.total)
        try:
            exchange = await self._send(request, deadline)
        except BaseException:
            slots.release()
            raise
        if exchange.ended:
            slots.release()
        else:
            exchange.slots = slots
        return exchange

    def _claim(self) -> None:
        """Check the process and the event loop that use the connections.

        After a fork, kept connections belong to the parent: streams know their process, so that
        none of them is idle here, and closing them affects the parent's connection in no way.
        """
        owner = check_owner(self._owner)
        if owner != self._owner:
            self._owner, self._slots = owner, AsyncSlots(_MAX_CALLS)

    async def _send(self, request: AsyncRequest, deadline: float | None) -> AsyncExchange:
        repeatable = request.method in ("GET", "HEAD") and request.body is None
        while True:
            stream = await self._take_idle()
            fresh = stream is None
            if stream is None:
                stream = await self._open(request.total if request.each is None else request.each)
            try:
                return await self._exchange(stream, request, deadline)
            except _LostBeforeResponse as error:
                # Read before closing, which discards the output of ssh.
                error_output = await in_thread(stream.error_output) if fresh else ""
                await stream.close()
                # The engine may close a kept connection just when it is used again.
                if fresh or not repeatable:
                    if error_output:
                        raise ConnectFailed(f"ssh: {error_output}") from None
                    raise ConnectionLost(error.message) from None
            except BaseException:
                await stream.close()
                raise

    async def _take_idle(self) -> AnyStream | None:
        """Remove and return an idle connection that is still open, or None."""
        while not self._closed:
            try:
                # Atomic, as several threads may do this at the same time.
                stream = self._idle.pop()
            except IndexError:
                return None
            if stream.is_idle():
                return stream
            await stream.close()
        raise ClientClosed("the client is closed")

    async def _open(self, limit: float | None) -> AnyStream:
        timeout = self._connect_timeout
        if limit is not None and (timeout is None or limit < timeout):
            timeout = limit
        stream = await connect(self.address, self._tunnels, timeout)
        self._streams.add(stream)
        if self.address.tls is None:
            return stream
        from palan.client._async.tls import AsyncTLSStream

        try:
            secure = AsyncTLSStream(stream, self.address.tls, self.address.host)
            await secure.handshake(timeout)
        except BaseException:
            await stream.close()
            raise
        return secure

    async def _exchange(
        self, stream: AnyStream, request: AsyncRequest, deadline: float | None
    ) -> AsyncExchange:
        answer = ResponseParser(request.method, hijack=request.hijack)
        exchange = AsyncExchange(self, stream, answer, request.each, deadline)
        body = request.body
        head = request.head(self.address.authority)
        lost: ConnectionLost | None = None
        try:
            if isinstance(body, bytes) and len(body) < _SMALL:
                await stream.write(head + body, exchange.left())
            else:
                await stream.write(head, exchange.left())
                if body is not None:
                    await _send_body(exchange, body)
        except ConnectionLost as error:
            # The engine may have refused the body before reading it, with a response.
            lost = error
            exchange.reusable = False
        await _receive_head(exchange, lost)
        if answer.complete:
            await exchange.finish()
        return exchange

    async def dial(self) -> AnyStream:
        """Open a new connection for the caller's own use."""
        self._claim()
        return await self._open(None)

    async def release(self, stream: AnyStream) -> None:
        """Keep a connection open for another request, or close it if there are enough."""
        if self._closed or len(self._idle) >= _MAX_IDLE or not stream.is_idle():
            await stream.close()
        else:
            self._idle.append(stream)

    async def close(self) -> None:
        """Close all connections, also those in use, and refuse further requests."""
        self._closed = True
        for stream in [*self._idle, *self._streams]:
            await stream.close()
        self._idle.clear()
        if self._tunnels is not None:
            await in_thread(self._tunnels.close)


async def _send_body(exchange: AsyncExchange, body: AsyncBody) -> None:
    """Send a body, until its end or until the engine answers with an error."""
    stream, answer = exchange.stream, exchange.answer
    if isinstance(body, bytes):
        await stream.write(body, exchange.left())
        return
    async for chunk in body_chunks(body):
        if not chunk:
            continue
        await stream.write(b"%x\r\n%b\r\n" % (len(chunk), chunk), exchange.left())
        if stream.has_input and not answer.complete:
            more = await stream.read_into(answer.feed, exchange.left())
            if not more or answer.status >= 400:
                # The engine has refused the request, and will not read the rest of the body.
                exchange.reusable = False
                return
    await stream.write(b"0\r\n\r\n", exchange.left())


async def _receive_head(exchange: AsyncExchange, lost: ConnectionLost | None) -> None:
    """Wait for the head of a response.

    Args:
        exchange: the exchange; its request was sent.
        lost: the error that occurred while it was sent, or None.
    """
    stream, answer = exchange.stream, exchange.answer
    begun = answer.has_head
    while not answer.has_head:
        try:
            more = await stream.read_into(answer.feed, exchange.left())
        except ConnectionLost as error:
            if begun:
                raise
            raise _LostBeforeResponse((lost or error).message) from None
        if not more:
            if begun:
                raise ConnectionLost("the connection ended in the middle of the response's head")
            raise _LostBeforeResponse("the engine closed the connection without a response")
        begun = True


class _LostBeforeResponse(ConnectionLost):
    """The connection ended before the first byte of the response."""
