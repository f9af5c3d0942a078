"""Attach through a WebSocket, for engines behind proxies that allow no other upgrade."""

import base64
import os
from typing import TYPE_CHECKING

from wsproto import ConnectionType, events
from wsproto.connection import Connection

from palan.client._async.response import AsyncResponse
from palan.client._async.streams import AsyncSession
from palan.client._request import Prepared
from palan.client.errors import ProtocolError


if TYPE_CHECKING:
    from palan.client._async.calling import AsyncCalling

__all__ = ["AsyncWebSocketSession"]


class AsyncWebSocketSession(AsyncSession):
    """A session that carries unframed bytes in WebSocket messages.

    Stdin cannot be closed alone: :meth:`close_input` ends the session.
    """

    def __init__(self, calling: "AsyncCalling", prepared: Prepared, timeout: float | None) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        prepared.headers += [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
            ("Origin", "http://docker"),
        ]
        super().__init__(calling, prepared, timeout, raw=True)
        self._connection = Connection(ConnectionType.CLIENT)
        self._received: list[bytes] = []
        self._ended = False

    async def open(self) -> AsyncResponse:
        """Send the request, unless this was done already, and wait for the response's head."""
        response = await super().open()
        if response.status != 101:
            await self.close()
            raise ProtocolError("the engine did not open a WebSocket")
        return response

    async def _write(self, data: bytes, *, gather: bool) -> None:
        response = await self.open()
        framed = self._connection.send(events.BytesMessage(data=data))
        await response.send(framed, gather=gather)

    async def close_input(self) -> None:
        """Close the WebSocket, which ends the session."""
        response = await self.open()
        if not self._ended:
            await response.send(self._connection.send(events.CloseConnection(code=1000)))

    async def recv(self) -> bytes:
        """Return the next bytes; ``b""`` at the end."""
        response = await self.open()
        while not self._received:
            if self._ended:
                return b""
            data = await response.chunk()
            self._connection.receive_data(data or None)
            await self._handle_events(response)
            if not data:
                self._ended = True
        return self._received.pop(0)

    async def _handle_events(self, response: AsyncResponse) -> None:
        """Keep the bytes of received messages, and answer pings."""
        for event in self._connection.events():
            if isinstance(event, events.BytesMessage | events.TextMessage):
                data = event.data
                if data:
                    self._received.append(data.encode() if isinstance(data, str) else bytes(data))
            elif isinstance(event, events.Ping):
                await response.send(self._connection.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                self._ended = True

    async def _next_bytes(self) -> bytes:
        return await self.recv()
