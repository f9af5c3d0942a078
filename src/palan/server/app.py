"""The server: the contract's endpoints, an engine to answer them, sockets to listen on."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final, Protocol

import structlog

from palan.api.endpoint import Endpoint
from palan.api.registry import endpoints as all_endpoints
from palan.api.version import MAX_VERSION, MIN_VERSION, Version
from palan.server.connection import Connection
from palan.server.dispatch import Dispatcher, Operation
from palan.server.exchange import Exchange
from palan.server.routing import Router
from palan.server.tls import TLSLayer


__all__ = ["EngineRooms", "Server", "serving"]

_BACKLOG: Final = 1024
"""Clients that may wait to be accepted; asyncio would turn away those after the hundredth."""

_GRACE: Final = 5.0
"""Seconds for requests to be answered when the server stops."""

_STREAM_GRACE: Final = 0.5
"""Seconds for streams to end by themselves then; most of them would not for hours."""

_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A machine that vanished is noticed within two minutes."""

_KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Keeps asyncio from removing the file of a unix socket, which may belong to a socket unit."""

_log = structlog.get_logger(__name__)


class EngineRooms(Protocol):
    """An engine: attributes named like the groups of the API, methods like its operations."""

    @property
    def pending(self) -> frozenset[str]:
        """The operations, as ``group.operation``, that it does not have.

        They answer 501, but for those whose room has something better to say.
        """


class Server:
    """Serves the Engine API.

    Args:
        engine: whose rooms answer; it is started already.
        endpoints: what to serve; by default all there is.
        min_version: the oldest API version to speak.
        max_version: the newest, which clients that name none are spoken to in.

    Raises:
        RuntimeError: the engine lacks operations that it does not say it lacks.
    """

    def __init__(
        self,
        engine: EngineRooms,
        endpoints: Iterable[Endpoint] | None = None,
        *,
        min_version: Version = MIN_VERSION,
        max_version: Version = MAX_VERSION,
    ) -> None:
        router = Router(all_endpoints() if endpoints is None else endpoints)
        self._dispatch = Dispatcher(router, _operations(engine, router), min_version, max_version)
        self._connections: set[Connection] = set()
        self._listening: list[asyncio.Server] = []

    async def listen(self, sock: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections on a socket, with TLS if a context is given."""
        loop = asyncio.get_running_loop()

        def connected() -> asyncio.Protocol:
            connection = Connection(self._handle, self._connections)
            return connection if tls is None else TLSLayer(connection, tls)

        if sock.family == socket.AF_UNIX:
            self._listening.append(
                await loop.create_unix_server(connected, sock=sock, backlog=_BACKLOG, **_KEEP_FILE)
            )
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self._listening.append(await loop.create_server(connected, sock=sock, backlog=_BACKLOG))

    async def close(self, grace: float = _GRACE) -> None:
        """Stop: accept nothing more, let what is being answered end, then break off.

        Args:
            grace: seconds for running requests to be answered.
        """
        for server in self._listening:
            server.close()
        left = list(self._connections)
        for connection in left:
            connection.stop()
        if left:
            ends = [asyncio.ensure_future(connection.wait_closed()) for connection in left]
            short = min(grace, _STREAM_GRACE)
            await asyncio.wait(ends, timeout=short)
            for connection in left:
                connection.interrupt()
            await asyncio.wait(ends, timeout=grace - short)
            for connection in left:
                connection.kill()
            await asyncio.wait(ends)
        self._listening.clear()

    async def _handle(self, exchange: Exchange) -> None:
        began = perf_counter()
        try:
            await self._dispatch(exchange)
        finally:
            # Neither query nor headers nor bodies: all of them may hold secrets.
            _log.debug(
                "request",
                method=exchange.head.method,
                path=exchange.head.target.partition("?")[0],
                status=exchange.status,
                ms=round((perf_counter() - began) * 1000, 2),
            )


@asynccontextmanager
async def serving(
    engine: EngineRooms, *sockets: socket.socket, **options: Any
) -> AsyncIterator[Server]:
    """Serve an engine on sockets for as long as the context lasts.

    Args:
        engine: whose rooms answer.
        sockets: they listen already.
        options: of :class:`Server`.
    """
    server = Server(engine, **options)
    for sock in sockets:
        await server.listen(sock)
    try:
        yield server
    finally:
        await server.close()


def _operations(engine: EngineRooms, router: Router) -> dict[Endpoint, Operation]:
    found: dict[Endpoint, Operation] = {}
    missing = []
    for endpoint in router:
        method = getattr(getattr(engine, endpoint.group, None), endpoint.operation, None)
        if callable(method):
            found[endpoint] = method
        elif endpoint.name not in engine.pending:
            missing.append(endpoint.name)
    if missing:
        raise RuntimeError(f"the engine has no {', '.join(sorted(missing))}")
    return found
