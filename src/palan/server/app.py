"""The server: it answers the API's endpoints on listening sockets by calling an engine."""

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
from palan.server.dispatch import Dispatcher, Operation, Settled
from palan.server.exchange import Exchange
from palan.server.routing import Router
from palan.server.tls import TLSLayer


__all__ = ["EngineRooms", "Server", "serving"]

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted; asyncio's default is 100."""

_GRACE: Final = 5.0
"""Seconds that running requests may take after the server was asked to stop."""

_STREAM_GRACE: Final = 0.5
"""Seconds that streams may take then; most would last for hours."""

_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""TCP keepalive options that detect a vanished machine within two minutes."""

_KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Keeps asyncio from removing the file of a unix socket, which may belong to a socket unit."""

_log = structlog.get_logger(__name__)


class EngineRooms(Protocol):
    """An engine, with an attribute for each group of the API and a method for each operation."""

    @property
    def pending(self) -> frozenset[str]:
        """The operations, as ``group.operation``, that the engine does not implement.

        They answer 501, unless the engine has a method that raises another error.
        """


async def _nothing_to_settle() -> None:
    """Return at once; the default for engines that record nothing."""


class Server:
    """Serves the Engine API.

    Args:
        engine: the engine, already started.
        endpoints: the endpoints to serve; all of the API by default.
        min_version: the oldest API version to accept.
        max_version: the newest API version, also used for requests without a version.
        settled: waits until what the engine has recorded is committed, for example an event;
            awaited before the answer to a request that may have changed something.

    Raises:
        RuntimeError: the engine lacks an operation that is not in ``engine.pending``.
    """

    def __init__(
        self,
        engine: EngineRooms,
        endpoints: Iterable[Endpoint] | None = None,
        *,
        min_version: Version = MIN_VERSION,
        max_version: Version = MAX_VERSION,
        settled: Settled = _nothing_to_settle,
    ) -> None:
        router = Router(all_endpoints() if endpoints is None else endpoints)
        self._dispatch = Dispatcher(
            router, _operations(engine, router), min_version, max_version, settled
        )
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
        """Stop accepting, let running requests end, then reset the remaining connections.

        Args:
            grace: seconds that running requests may take.
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
            # Query, headers and bodies are not logged: they may contain secrets.
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
        engine: the engine that answers.
        sockets: listening sockets.
        options: keyword arguments of :class:`Server`.
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
