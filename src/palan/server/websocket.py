"""``GET /containers/{id}/attach/ws``: a session over a WebSocket.

WebSocket messages carry the output without Docker's frames, with stdout and stderr in one
stream. Closing the WebSocket detaches.
"""

import asyncio
from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from palan.api.errors import PalanError
from palan.api.frames import FrameDecoder
from palan.api.results import Session
from palan.api.version import Version
from palan.server.exchange import Exchange, RawStream
from palan.server.hijack import close_iterator
from palan.server.http1 import RequestHead, response_head


if TYPE_CHECKING:
    from wsproto.events import Event


__all__ = ["serve_websocket"]

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""

_BINARY_SINCE: Final = Version(1, 28)

_REFUSAL: Final = b"HTTP/1.1 400 Bad Request\r\n\r\nnot websocket protocol"


async def serve_websocket(exchange: Exchange, session: Session, version: Version) -> None:
    """Take over the connection as a WebSocket and connect it to a session.

    A request that is not for a WebSocket gets a minimal answer, as from dockerd.
    """
    try:
        if not _accepts(exchange.head):
            stream = await exchange.hijack(400)
            await stream.write(_REFUSAL)
            return
        stream = await exchange.hijack(101)
        await stream.write(_handshake(exchange.head))
        await _Bridge(stream, session, binary=version >= _BINARY_SINCE).run()
    finally:
        await session.close()


def _accepts(head: RequestHead) -> bool:
    """Whether a request asks for a WebSocket of a supported version."""
    headers = head.headers
    return (
        headers.get("upgrade", "").lower() == "websocket"
        and "upgrade" in headers.get("connection", "").lower()
        and headers.get("sec-websocket-version") == "13"
        and bool(headers.get("sec-websocket-key"))
    )


def _handshake(head: RequestHead) -> bytes:
    key = head.headers["sec-websocket-key"].encode("latin-1")
    accept = b64encode(sha1(key + _KEY_SUFFIX).digest())  # noqa: S324 - RFC 6455 wants SHA-1
    return response_head(
        101,
        (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept.decode()),
        ),
    )


class _Bridge:
    """Carrier of messages between a session and a WebSocket, until either ends."""

    def __init__(self, stream: RawStream, session: Session, *, binary: bool) -> None:
        # Imported on demand: it takes a tenth of the server's start, and is seldom used.
        from wsproto.connection import Connection, ConnectionType  # noqa: PLC0415

        self._stream = stream
        self._session = session
        self._binary = binary
        self._socket = Connection(ConnectionType.SERVER)
        self._closed = False
        self._input_closed = False

    async def run(self) -> None:
        """Carry messages in both directions."""
        with self._stream.interruptible():
            tasks = [
                asyncio.create_task(self._send_output()),
                asyncio.create_task(self._receive_input()),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
            for outcome in done:
                if isinstance(outcome, Exception):
                    raise outcome
            await self._close(1000)

    async def _send_output(self) -> None:
        from wsproto.events import BytesMessage, TextMessage  # noqa: PLC0415 - as above

        decoder = getincrementaldecoder("utf-8")(errors="replace")
        output = self._session.output()
        try:
            async for data in _payloads(output, tty=self._session.tty):
                await self._send(
                    BytesMessage(data=data)
                    if self._binary
                    else TextMessage(data=decoder.decode(data))
                )
        finally:
            await close_iterator(output)

    async def _receive_input(self) -> None:
        from wsproto.events import CloseConnection, Message, Ping  # noqa: PLC0415 - as above

        while data := await self._stream.read():
            self._socket.receive_data(data)
            for event in self._socket.events():
                if isinstance(event, Message):
                    await self._write_input(event.data)
                elif isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    await self._close(event.code)
                    return

    async def _write_input(self, data: str | bytes | bytearray) -> None:
        if self._input_closed:
            return
        try:
            await self._session.write(data.encode() if isinstance(data, str) else bytes(data))
        except (OSError, PalanError):
            # The process no longer reads; its output continues.
            self._input_closed = True

    async def _send(self, event: "Event") -> None:
        await self._stream.write(self._socket.send(event))

    async def _close(self, code: int) -> None:
        from wsproto.events import CloseConnection  # noqa: PLC0415 - as above

        if not self._closed:
            self._closed = True
            await self._send(CloseConnection(code=code))


async def _payloads(output: AsyncIterator[bytes], *, tty: bool) -> AsyncIterator[bytes]:
    frames = FrameDecoder()
    async for data in output:
        if tty:
            yield data
        else:
            for _, payload in frames.feed(data):
                yield payload
