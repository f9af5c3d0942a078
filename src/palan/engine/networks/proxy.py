"""The userland proxy for TCP and SCTP: the engine forwards connections that no rule redirects.

A published port has a listening socket in the engine while it is published.  The socket keeps
other programs from using the port, and receives what the rules do not redirect: connections to
IPv6 addresses of the host if the container has no IPv6 address, those to ``::1``, and all
connections without a firewall.
"""

import asyncio
import contextlib
import socket
from functools import partial
from typing import Final, Protocol

from palan.engine.networks.proxy_limits import Budget


__all__ = ["Proxy", "StreamProxy", "connect"]

CHUNK: Final = 256 * 1024
AT_ONCE: Final = 64
"""Connections that are accepted in a row before other work of the event loop."""
DESCRIPTORS: Final = 2
"""The descriptors of one connection."""
LINGER: Final = 10.0
"""Seconds for which the last data of a closed connection may wait for its reader."""
PAUSE: Final = 0.2
"""Seconds without accepting when no descriptors are left."""


class Proxy(Protocol):
    """A proxy that forwards to a container what arrives at a socket."""

    def close(self) -> None:
        """Stop, and close all connections."""


async def connect(family: int, kind: int, proto: int, where: tuple[str, int]) -> socket.socket:
    """Return a socket connected to an address.

    Raises:
        OSError: the connection is refused, or the address can't be reached.
    """
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, where)
    except BaseException:
        made.close()
        raise
    return made


class StreamProxy:
    """Accepts connections of TCP or SCTP at a socket, and forwards each of them.

    Args:
        listener: the listening socket.
        where: the address and port to forward to; None to reset all connections, so that
            clients do not wait.
        budget: limits the connections of all proxies.
    """

    def __init__(
        self, listener: socket.socket, where: tuple[str, int] | None, budget: Budget
    ) -> None:
        self._listener = listener
        self._where = where
        self._budget = budget
        self._connections: dict[_Connection, None] = {}
        """All connections, the longest silent one first."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener.fileno(), self._accept)
        self._pause: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop accepting and close all connections; idempotent."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for connection in list(self._connections):
            self._discard(connection)
            connection.task.cancel()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _peer = self._listener.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError:  # no descriptors or no memory left
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(PAUSE, self._resume)
                return
            if self._where is None or not self._budget.reserve(self, DESCRIPTORS):
                _reset(accepted)
                continue
            connection = _Connection(self._loop.time())
            self._connections[connection] = None
            connection.task = self._loop.create_task(
                self._forward(connection, accepted, self._where)
            )
            connection.task.add_done_callback(partial(self._on_end, connection))

    def _resume(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _discard(self, connection: "_Connection") -> None:
        """Drop a connection that has ended or is about to; idempotent."""
        if connection in self._connections:
            del self._connections[connection]
            self._budget.release(self, DESCRIPTORS)

    def _on_end(self, connection: "_Connection", _task: asyncio.Task[None]) -> None:
        self._discard(connection)

    def close_longest_silent(self, silent: float) -> bool:
        """Reset the connection that was silent for the longest time, if that was long enough."""
        connection = next(iter(self._connections), None)
        if connection is None or self._loop.time() - connection.used < silent:
            return False
        self._discard(connection)
        connection.displaced = True
        connection.task.cancel()
        return True

    async def _forward(
        self, connection: "_Connection", accepted: socket.socket, where: tuple[str, int]
    ) -> None:
        accepted.setblocking(False)
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        try:
            made = await connect(family, socket.SOCK_STREAM, accepted.proto, where)
        except OSError:
            _reset(accepted)  # as with a closed port
            return
        except BaseException:
            accepted.close()
            raise
        outer_reader, outer = await asyncio.open_connection(sock=accepted, limit=CHUNK)
        inner_reader, inner = await asyncio.open_connection(sock=made, limit=CHUNK)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(connection, outer_reader, inner))
                both.create_task(self._copy(connection, inner_reader, outer))
        except* OSError:
            # When one side breaks off, so does the other, or it would wait forever.
            inner.transport.abort()
            outer.transport.abort()
        finally:
            if connection.displaced:
                inner.transport.abort()
                outer.transport.abort()
            await _flush(inner, outer)

    async def _copy(
        self,
        connection: "_Connection",
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
    ) -> None:
        """Copy one direction to its end, including the half-close."""
        while data := await source.read(CHUNK):
            connection.used = self._loop.time()
            if connection in self._connections:
                del self._connections[connection]
                self._connections[connection] = None
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


class _Connection:
    """A forwarded connection.

    Attributes:
        task: forwards it.
        used: the time of the loop at which data was last received from either side.
        displaced: whether another connection takes its place.
    """

    task: asyncio.Task[None]

    def __init__(self, now: float) -> None:
        self.used = now
        self.displaced = False


async def _flush(*writers: asyncio.StreamWriter) -> None:
    """Close connections; a peer that does not read the last data delays this for some time."""
    for writer in writers:
        writer.close()
    try:
        if any(writer.transport.get_write_buffer_size() for writer in writers):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    closing = (writer.wait_closed() for writer in writers)
                    await asyncio.gather(*closing, return_exceptions=True)
    finally:
        for writer in writers:
            writer.transport.abort()


def _reset(sock: socket.socket) -> None:
    linger = (1).to_bytes(4, "little") + bytes(4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()
