"""The userland proxy: connections that no rule redirects are carried by the engine.

A published port has a listening socket in the engine for as long as it is published.
It keeps other programs from taking the port, and it takes what the rules do not
redirect: connections to IPv6 addresses of the host where the container has none, those to
``::1``, and all of them where there is no firewall.
"""

import asyncio
import socket
from typing import Final, Protocol


__all__ = ["Proxy", "StreamProxy", "connect"]

CHUNK: Final = 256 * 1024
AT_ONCE: Final = 64
"""Connections that are accepted before others of the engine's work has its turn."""
PAUSE: Final = 0.2
"""Seconds without accepting when there are no descriptors left."""


class Proxy(Protocol):
    """What carries to a container that which arrives at one socket."""

    def close(self) -> None:
        """Stop, and drop what is being carried."""


async def connect(family: int, kind: int, proto: int, where: tuple[str, int]) -> socket.socket:
    """A connected socket.

    Raises:
        OSError: nobody listens there, or it can't be reached.
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
    """Accepts on one socket, of TCP or SCTP, and carries each connection to one place.

    Args:
        listener: the socket.
        where: the place; None for none, so that clients are refused instead of waiting.
    """

    def __init__(self, listener: socket.socket, where: tuple[str, int] | None) -> None:
        self._listener = listener
        self._where = where
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener.fileno(), self._accept)
        self._pause: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop accepting and drop what is being carried; idempotent."""
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
            except OSError:  # no descriptors, no memory
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(PAUSE, self._resume)
                return
            if self._where is None:
                _reset(accepted)
                continue
            task = self._loop.create_task(self._carry(accepted, self._where))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    def _resume(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def _carry(self, accepted: socket.socket, where: tuple[str, int]) -> None:
        accepted.setblocking(False)
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        try:
            made = await connect(family, socket.SOCK_STREAM, accepted.proto, where)
        except OSError:
            _reset(accepted)  # the client sees what it would see of a closed port
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
            # One side broke off, so does the other: neither is to wait for what never comes.
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
    """Carry one direction to its end, and pass on the half-close."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
