# Made of _async/transport.py by scripts/client_sync.py: change that, and run this.
"""Requests and answers over connections that are kept for the next ones."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Union
from weakref import WeakSet

from palan.client._address import Address
from palan.client._http1 import Answer, request_head
from palan.client._sync.io import Body, Stream, connect, in_thread, now, pieces
from palan.client.errors import ClientClosed, ConnectFailed, ConnectionLost


if TYPE_CHECKING:
    from palan.client._ssh import Tunnels
    from palan.client._sync.tls import TLSStream


__all__ = ["Exchange", "Outgoing", "Transport"]

_SMALL: Final = 1 << 16
"""Bytes of a body below which it goes out together with the head."""

_MAX_IDLE: Final = 64
"""Connections that are kept open while nobody uses them."""

AnyStream = Union[Stream, "TLSStream"]


class Exchange:
    """An answer whose head is known, and the connection that it comes on.

    Attributes:
        answer: status and headers.
        each: seconds to wait for each further piece; None is for ever.
        deadline: the moment by which all must be there, by the clock of ``io``; or None.
    """

    def __init__(
        self,
        transport: "Transport",
        stream: AnyStream,
        answer: Answer,
        each: float | None,
        deadline: float | None,
    ) -> None:
        self.answer = answer
        self.each = each
        self.deadline = deadline
        self.reusable = True
        self._transport = transport
        self._stream: AnyStream | None = stream
        self._closed = False

    @property
    def stream(self) -> AnyStream:
        """The connection.

        Raises:
            ClientClosed: it is not this exchange's any more.
        """
        if self._stream is None:
            raise ClientClosed("the stream was closed")
        return self._stream

    def left(self) -> float | None:
        """Seconds to wait for the next piece."""
        return self.each if self.deadline is None else self.deadline - now()

    def chunk(self) -> bytes:
        """What has come in of the body; waits for at least a byte, and gives none at the end.

        Raises:
            ConnectionLost: the body is not complete.
            Timeout: nothing came.
        """
        answer = self.answer
        try:
            while not (data := answer.take()) and not answer.complete:
                self._receive()
        except BaseException:
            self.close()
            raise
        if not data:
            self.finish()
        return data

    def _receive(self) -> None:
        if self._closed:
            raise ClientClosed("the stream was closed")
        answer = self.answer
        if not self.stream.read_into(answer.feed, self.left()) and not answer.feed_eof():
            raise ConnectionLost("the connection ended in the middle of the answer")

    def read(self, limit: int) -> bytes:
        """The whole body, or what there is of it beyond a limit in bytes."""
        data = self.chunk()
        if self.answer.complete and not self.answer.has_rest:
            self.finish()
            return data
        parts, size = [data], len(data)
        while data and size <= limit:
            data = self.chunk()
            parts.append(data)
            size += len(data)
        if size > limit:
            self.close()
        return b"".join(parts)

    def finish(self) -> None:
        """Give the connection back, once all was received."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self.reusable and self.answer.reusable:
            self._transport.give_back(stream)
        else:
            stream.close()

    def __del__(self) -> None:
        # Who breaks out of a loop and forgets the stream does not keep the connection.
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.abort()

    def close(self) -> None:
        """Have no more of it: the connection ends, unless all was received already."""
        self._closed = True
        stream = self._stream
        if stream is not None:
            # A thread that reads from it finds it closed rather than gone.
            stream.close()


class Outgoing:
    """A request.

    Attributes:
        method: the HTTP method.
        target: the path with the query.
        headers: besides those about the body and the host.
        body: what to send; None for none.
        each: seconds to wait for each piece, if there is no total; None is for ever.
        total: seconds for all of the answer, or None.
        hijack: the connection is to become a stream, with an ``Upgrade`` or without.
    """

    __slots__ = ("body", "each", "headers", "hijack", "method", "target", "total")

    def __init__(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: Body | None = None,
        *,
        each: float | None = None,
        total: float | None = None,
        hijack: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.each = each
        self.total = total
        self.hijack = hijack

    def head(self, authority: str) -> bytes:
        """The head, as it is sent."""
        lines = [("Host", authority), *self.headers]
        if isinstance(self.body, bytes):
            lines.append(("Content-Length", str(len(self.body))))
        elif self.body is not None:
            lines.append(("Transfer-Encoding", "chunked"))
        elif self.method in ("POST", "PUT", "PATCH") and not self.hijack:
            lines.append(("Content-Length", "0"))
        return request_head(self.method, self.target, lines)


class Transport:
    """The connections to one engine."""

    def __init__(self, address: Address, connect_timeout: float | None) -> None:
        self.address = address
        self._connect_timeout = connect_timeout
        self._tunnels: Tunnels | None = None
        if address.scheme == "ssh":
            from palan.client import _ssh

            self._tunnels = _ssh.Tunnels(address)
        self._idle: list[AnyStream] = []
        self._streams: WeakSet[Stream] = WeakSet()
        self._closed = False

    def send(self, request: Outgoing) -> Exchange:
        """Send a request and wait for the head of its answer.

        Raises:
            TransportError: there is none.
        """
        deadline = None if request.total is None else now() + request.total
        again = request.method in ("GET", "HEAD") and request.body is None
        while True:
            stream = self._take()
            fresh = stream is None
            if stream is None:
                stream = self._open(request.total if request.each is None else request.each)
            try:
                return self._exchange(stream, request, deadline)
            except _LostUnheard as error:
                # What was behind it is closed with it.
                complaint = in_thread(stream.complaint) if fresh else ""
                stream.close()
                # A kept connection may end just as it is used again.
                if fresh or not again:
                    if complaint:
                        raise ConnectFailed(f"ssh: {complaint}") from None
                    raise ConnectionLost(error.message) from None
            except BaseException:
                stream.close()
                raise

    def _take(self) -> AnyStream | None:
        """A connection that is kept and still stands, if there is one."""
        while not self._closed:
            try:
                # One step, as several threads may want one.
                stream = self._idle.pop()
            except IndexError:
                return None
            if stream.is_idle():
                return stream
            stream.close()
        raise ClientClosed("the client is closed")

    def _open(self, limit: float | None) -> AnyStream:
        timeout = self._connect_timeout
        if limit is not None and (timeout is None or limit < timeout):
            timeout = limit
        stream = connect(self.address, self._tunnels, timeout)
        self._streams.add(stream)
        if self.address.tls is None:
            return stream
        from palan.client._sync.tls import TLSStream

        try:
            secure = TLSStream(stream, self.address.tls, self.address.host)
            secure.handshake(timeout)
        except BaseException:
            stream.close()
            raise
        return secure

    def _exchange(self, stream: AnyStream, request: Outgoing, deadline: float | None) -> Exchange:
        answer = Answer(request.method, hijack=request.hijack)
        exchange = Exchange(self, stream, answer, request.each, deadline)
        body = request.body
        head = request.head(self.address.authority)
        lost: ConnectionLost | None = None
        try:
            if isinstance(body, bytes) and len(body) < _SMALL:
                stream.write(head + body, exchange.left())
            else:
                stream.write(head, exchange.left())
                if body is not None:
                    _send_body(exchange, body)
        except ConnectionLost as error:
            # An engine may refuse a body before it has read it, and say so.
            lost = error
            exchange.reusable = False
        _receive_head(exchange, lost)
        if answer.complete:
            exchange.finish()
        return exchange

    def dial(self) -> AnyStream:
        """A connection that nothing was said on yet."""
        return self._open(None)

    def give_back(self, stream: AnyStream) -> None:
        """Keep a connection for the next request."""
        if self._closed or len(self._idle) >= _MAX_IDLE or not stream.is_idle():
            stream.close()
        else:
            self._idle.append(stream)

    def close(self) -> None:
        """Close all connections, also those in use, and take no more requests."""
        self._closed = True
        for stream in [*self._idle, *self._streams]:
            stream.close()
        self._idle.clear()
        if self._tunnels is not None:
            in_thread(self._tunnels.close)


def _send_body(exchange: Exchange, body: Body) -> None:
    """Send a body, for as long as the engine wants it."""
    stream, answer = exchange.stream, exchange.answer
    if isinstance(body, bytes):
        stream.write(body, exchange.left())
        return
    for piece in pieces(body):
        if not piece:
            continue
        stream.write(b"%x\r\n%b\r\n" % (len(piece), piece), exchange.left())
        if stream.has_input and not answer.complete:
            more = stream.read_into(answer.feed, exchange.left())
            if not more or answer.status >= 400:
                # It has made up its mind; the rest of the body is of no interest to it.
                exchange.reusable = False
                return
    stream.write(b"0\r\n\r\n", exchange.left())


def _receive_head(exchange: Exchange, lost: ConnectionLost | None) -> None:
    """Wait for the head of an answer.

    Args:
        exchange: what was sent.
        lost: what went wrong with that.
    """
    stream, answer = exchange.stream, exchange.answer
    heard = answer.has_head
    while not answer.has_head:
        try:
            more = stream.read_into(answer.feed, exchange.left())
        except ConnectionLost as error:
            if heard:
                raise
            raise _LostUnheard((lost or error).message) from None
        if not more:
            if heard:
                raise ConnectionLost("the connection ended in the middle of the answer's head")
            raise _LostUnheard("the engine closed the connection without an answer")
        heard = True


class _LostUnheard(ConnectionLost):
    """The connection ended before a byte of the answer was there."""
