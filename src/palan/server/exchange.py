"""One request and its answer, as handlers see them.

An answer is one of four things: whole (:meth:`Exchange.respond`), streamed
(:meth:`Exchange.start`, :meth:`Exchange.send`, :meth:`Exchange.end`), a hijacked
connection (:meth:`Exchange.hijack`), or an error before any of these. The class handles
the framing, so that handlers cannot get it wrong: lengths and chunks, HTTP/1.0, HEAD,
unread bodies, and whether the connection can be used again.
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
"""Bytes of an unread body to skip; after a longer body the connection is closed."""

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
    """A request, and the methods to answer it."""

    def __init__(self, connection: Wire, head: RequestHead) -> None:
        self.head = head
        self.status: int | None = None
        """The status of the answer; None before its head is sent."""

        self.closes = not head.keep_alive
        """Whether the connection is closed after this answer."""

        self._connection = connection
        self._chunked = False
        self._streaming = False
        self._hijacked = False
        self._continued = not head.expects_continue
        self._broken_body = False

    # ---- the request's body ----

    async def read_body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            InvalidParameter: the body is longer than ``limit``, ends early or is malformed.
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
        """Read the next bytes of the body; empty at its end.

        Raises:
            InvalidParameter: the body ends early or is malformed.
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
        """Return an iterator over the body as it arrives."""
        return _Body(self)

    # ---- the answer ----

    def interruptible(self) -> AbstractContextManager[None]:
        """Raise :class:`ClientGone` in the body of the context when the client closes."""
        return self._connection.interruptible()

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer; 204, 304, and HEAD without a body have no length.

        Args:
            status: the status.
            headers: the headers without those for framing.
            body: the whole body.
        """
        self.status = status
        lines = [*headers, ("Date", http_date())]
        if (body or self.head.method != "HEAD") and status not in _BODYLESS:
            lines.append(("Content-Length", str(len(body))))
        head = response_head(status, self._with_connection(lines))
        await self._connection.write(head if self.head.method == "HEAD" else head + body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of an answer whose length is unknown."""
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
        """Send the next bytes of a started answer; wait while the client reads too slowly."""
        if data:
            await self._connection.write(chunk(data) if self._chunked else data)

    async def end(self) -> None:
        """End a started answer."""
        self._streaming = False
        if self._chunked:
            await self._connection.write(chunk(b""))

    def abort(self) -> None:
        """Reset the connection, so that the client notices that the answer is incomplete."""
        self.closes = True
        self._connection.abort()

    async def hijack(self, status: int) -> "RawStream":
        """Take over the connection as a raw stream in both directions.

        Everything after the request belongs to the client's stream. The caller sends a
        head with ``status`` first.

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
        """Prepare the connection for the next request, or decide that it has to be closed.

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
        """Read and discard the rest of the body; return False if it is too long."""
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
            # The client waits for "100 Continue", and may or may not send its body.
            or not (self._continued or reader.body_complete or reader.buffered)
        )
        self.closes = self.closes or unreadable or self._connection.stopping
        if self.closes:
            lines.append(("Connection", "close"))
        elif not self.head.http11:
            lines.append(("Connection", "keep-alive"))
        return lines


class _Body:
    """The body of a request; unlike an async generator it need not be closed."""

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
    """A hijacked connection."""

    def __init__(self, connection: Wire) -> None:
        self._connection = connection

    @property
    def input_ended(self) -> bool:
        """Whether the client has ended its input; it may still read.

        A connection that is closed because the server stops has not ended its input.
        """
        connection = self._connection
        return connection.at_eof or (connection.lost and not connection.stopping)

    async def read(self) -> bytes:
        """Return the next bytes from the client; empty at the end."""
        return await self._connection.read_raw()

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client reads too slowly.

        Raises:
            ClientGone: the connection is closed.
        """
        await self._connection.write(data)

    async def until_read(self, seconds: float) -> None:
        """Wait until a local client has read everything, for at most that long."""
        await self._connection.until_read(seconds)

    def interruptible(self) -> AbstractContextManager[None]:
        """Raise :class:`ClientGone` in the body of the context when the client closes."""
        return self._connection.interruptible()


def _too_long(limit: int) -> InvalidParameter:
    return InvalidParameter(f"the request's body is longer than {limit // 2**20} MiB")
