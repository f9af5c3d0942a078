"""One request and its answer, as handlers see them.

An answer is one of four things: whole (:meth:`Exchange.respond`), streamed
(:meth:`Exchange.start`, :meth:`Exchange.send`, :meth:`Exchange.end`), a hijacked
connection (:meth:`Exchange.hijack`), or an error before any of these.  This class sees
to framing, so that handlers cannot get it wrong: lengths and chunks, HTTP/1.0, HEAD,
bodies that nobody read, and whether the connection can be used again.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from palan.api.errors import InvalidParameter
from palan.server.http1 import (
    ProtocolError,
    RequestHead,
    RequestReader,
    chunk,
    http_date,
    response_head,
)


__all__ = ["ClientGone", "Exchange", "Headers", "RawStream", "Wire"]

Headers = Iterable[tuple[str, str]]

_MAX_DRAIN: Final = 256 * 1024
"""Bytes of a body nobody wanted to read past; a longer one costs the connection."""

_BODYLESS: Final = frozenset({204, 304})


class ClientGone(ConnectionError):
    """The client has closed the connection."""


class Wire(Protocol):
    """The client's connection, as an exchange sees it."""

    reader: RequestReader
    at_eof: bool
    """The client has closed its sending half."""

    lost: bool
    """The connection is closed in both directions."""

    stopping: bool
    """The server is stopping: no further request is accepted."""

    async def more_data(self) -> bool:
        """Wait until more has been received; return False when nothing more will be."""

    async def read_raw(self) -> bytes:
        """Return the bytes received over the hijacked connection; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client reads too slowly.

        Raises:
            ClientGone: the connection is closed.
        """

    async def until_read(self, seconds: float) -> None:
        """Wait until a local client has read everything, for at most that long."""

    def hijack(self) -> None:
        """Stop reading HTTP from this connection: its bytes are a raw stream now."""

    def abort(self) -> None:
        """Reset the connection."""

    def interruptible(self) -> AbstractContextManager[None]:
        """Raise :class:`ClientGone` in the body of the context when the client closes."""


class Exchange:
    """A request, and the means to answer it."""

    def __init__(self, connection: Wire, head: RequestHead) -> None:
        self.head = head
        self.status: int | None = None
        """Of the answer; None while none was begun."""

        self.closes = not head.keep_alive
        """The connection is closed after this answer."""

        self._connection = connection
        self._chunked = False
        self._streaming = False
        self._hijacked = False
        self._continued = not head.expects_continue
        self._broken_body = False

    # ---- the request's body ----

    async def read_body(self, limit: int) -> bytes:
        """All of the body.

        Raises:
            InvalidParameter: it is longer than ``limit``, ends early or is malformed.
        """
        if (self.head.content_length or 0) > limit:
            raise _too_long(limit)
        parts: list[bytes] = []
        size = 0
        while data := await self.read_some():
            parts.append(data)
            size += len(data)
            if size > limit:
                raise _too_long(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read_some(self) -> bytes:
        """Some more of the body as it arrives; empty at its end.

        Raises:
            InvalidParameter: it ends early or is malformed.
        """
        reader = self._connection.reader
        while True:
            try:
                data = reader.next_data()
            except ProtocolError as error:
                self._broken_body = True
                raise InvalidParameter(f"malformed request body: {error}") from None
            if data or reader.body_complete:
                return data
            if not self._continued:
                self._continued = True
                if self.status is None:
                    await self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not await self._connection.more_data():
                raise InvalidParameter("unexpected EOF")

    def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return _Body(self)

    # ---- the answer ----

    def interruptible(self) -> AbstractContextManager[None]:
        """What is done in here ends with ``ClientGone`` as soon as the client goes."""
        return self._connection.interruptible()

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer as a whole.  Without a body there is no length for 204, 304 and HEAD.

        Args:
            status: the status.
            headers: but those about the framing of the body.
            body: all of it.
        """
        self.status = status
        lines = [*headers, ("Date", http_date())]
        if (body or self.head.method != "HEAD") and status not in _BODYLESS:
            lines.append(("Content-Length", str(len(body))))
        head = response_head(status, self._with_connection(lines))
        await self._connection.write(head if self.head.method == "HEAD" else head + body)

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer whose length is not known."""
        self.status = status
        self._streaming = True
        self._chunked = self.head.http11
        lines = [*headers, ("Date", http_date())]
        if self._chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        else:
            self.closes = True
        await self._connection.write(response_head(status, self._with_connection(lines)))

    async def send(self, data: bytes) -> None:
        """Send more of an answer that was begun; waits while the client does not keep up."""
        if data:
            await self._connection.write(chunk(data) if self._chunked else data)

    async def end(self) -> None:
        """There is no more of the answer."""
        self._streaming = False
        if self._chunked:
            await self._connection.write(chunk(b""))

    def abort(self) -> None:
        """Break off, so that the client can see that the answer is not whole."""
        self.closes = True
        self._connection.abort()

    async def hijack(self, status: int) -> "RawStream":
        """Take the connection over: from now on it carries bytes in both directions.

        What the client sent after its request is the beginning of its stream; the first
        to be sent to it is a head with ``status``.

        Raises:
            InvalidParameter: the request's own body is malformed, or too long to skip.
        """
        if not await self._skip_body():
            raise InvalidParameter("the body of this request is too long")
        self.status = status
        self.closes = self._hijacked = True
        self._connection.hijack()
        return RawStream(self._connection)

    async def finish_request(self) -> bool:
        """Make the connection ready for the next request, or see that it cannot be.

        Returns:
            Whether the client may still be sending, although the connection :attr:`closes`.
        """
        if self._hijacked:
            return True
        if self.status is None or self._streaming:
            self.abort()
            return False
        if self._connection.reader.body_complete:
            return False
        if not self.closes:
            try:
                self.closes = not await self._skip_body()
            except InvalidParameter:
                self.closes = True
        return self.closes

    async def _skip_body(self) -> bool:
        """Read what is left of the body; False when that is too much."""
        left = self._connection.reader.body_remaining
        if left is not None and left > _MAX_DRAIN:
            return False
        skipped = 0
        while data := await self.read_some():
            skipped += len(data)
            if skipped > _MAX_DRAIN:
                return False
        return True

    def _with_connection(self, lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
        reader = self._connection.reader
        left = reader.body_remaining
        unreadable = (
            self._broken_body
            or (left is not None and left > _MAX_DRAIN)
            # It was told to wait with its body: who knows whether it still comes.
            or not (self._continued or reader.body_complete or reader.buffered)
        )
        self.closes = self.closes or unreadable or self._connection.stopping
        if self.closes:
            lines.append(("Connection", "close"))
        elif not self.head.http11:
            lines.append(("Connection", "keep-alive"))
        return lines


class _Body:
    """The body of a request; a plain object, so that nobody needs to close it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._exchange.read_some()
        if not data:
            raise StopAsyncIteration
        return data


class RawStream:
    """A connection that was hijacked."""

    def __init__(self, connection: Wire) -> None:
        self._connection = connection

    @property
    def input_ended(self) -> bool:
        """The client has no more to send, which is not to say that it is gone.

        When it is the server that stops, nobody has said that input has ended.
        """
        connection = self._connection
        return connection.at_eof or (connection.lost and not connection.stopping)

    async def read(self) -> bytes:
        """What the client has sent; empty when nothing more will come."""
        return await self._connection.read_raw()

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not keep up.

        Raises:
            ClientGone: nobody is there.
        """
        await self._connection.write(data)

    async def until_read(self, seconds: float) -> None:
        """Wait until the client has read all that was sent, as far as that can be known."""
        await self._connection.until_read(seconds)

    def interruptible(self) -> AbstractContextManager[None]:
        """As :meth:`Exchange.interruptible`."""
        return self._connection.interruptible()


def _too_long(limit: int) -> InvalidParameter:
    return InvalidParameter(f"the request's body is longer than {limit // 2**20} MiB")
