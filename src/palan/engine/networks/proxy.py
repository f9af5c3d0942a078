"""The userland proxy: connections that no rule redirects are carried by the engine.

A published port has a listening socket in the engine for as long as it is published.
It keeps other programs from taking the port, and it takes what the rules do not
redirect: connections to the host's IPv6 addresses, and all of them where there is
no nftables.
"""

import asyncio
import socket


__all__ = ["Proxy"]

CHUNK = 256 * 1024


class Proxy:
    """Accepts on one socket and carries each connection to one address and port."""

    def __init__(self, listener: socket.socket, address: str, port: int) -> None:
        self._listener = listener
        self._target = (address, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def aim(self, address: str) -> None:
        """Carry new connections to the same port of another address."""
        self._target = (address, self._target[1])

    async def start(self) -> None:
        """Start accepting."""
        self._server = await asyncio.start_server(self._accept, sock=self._listener, limit=CHUNK)

    def close(self) -> None:
        """Stop accepting and drop what is being carried."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a callback of start_server is a task
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._target, limit=CHUNK)
        except OSError:
            writer.transport.abort()  # the client sees a reset, as from a closed port
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, inner_writer))
                both.create_task(_copy(inner_reader, writer))
        except* OSError:
            # One side broke off, so does the other: neither is to wait for what never comes.
            inner_writer.transport.abort()
            writer.transport.abort()
        finally:
            inner_writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry one direction to its end, and pass on the half-close."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
