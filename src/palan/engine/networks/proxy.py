"""The userland proxy for TCP and SCTP: the engine forwards connections that no rule redirects.

A published port has a listening socket in the engine while it is published.  The socket keeps
other programs from using the port, and receives what the rules do not redirect: connections to
IPv6 addresses of the host if the container has no IPv6 address, those to ``::1``, and all
connections without a firewall.
"""

import asyncio
import socket
from typing import Final, Protocol


__all__ = ["Proxy", "StreamProxy", "connect"]

CHUNK: Final = 256 * 1024
AT_ONCE: Final = 64
"""Connections that are accepted in a row before other work of the event loop."""
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
    """

    def __init__(self, listener: socket.socket, where: tuple[str, int] | None) -> None:
        self._listener = listener
        self._where = where
        self._connections: set[asyncio.Task[None]] = set()
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
        for task in self._connections:
            task.cancel()

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
            if self._where is None:
                _reset(accepted)
                continue
            task = self._loop.create_task(self._forward(accepted, self._where))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    def _resume(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def _forward(self, accepted: socket.socket, where: tuple[str, int]) -> None:
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
                both.create_task(_copy(outer_reader, inner))
                both.create_task(_copy(inner_reader, outer))
        except* OSError:
            # When one side breaks off, so does the other, or it would wait forever.
            inner.transport.abort()
            outer.transport.abort()
        finally:
            inner.close()
            outer.close()


def _reset(sock: socket.socket) -> None:
    linger = (1).to_bytes(4, "little") + bytes(4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, including the half-close."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
