"""The server with fake rooms of a test, and a client that shows all bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from palan.api import Endpoint
from palan.server.app import Server


def rooms(pending: Iterable[str] = (), **groups: Any) -> Any:
    """Return an engine with rooms that are namespaces of functions."""
    return SimpleNamespace(
        pending=frozenset(pending),
        **{name: SimpleNamespace(**methods) for name, methods in groups.items()},
    )


@asynccontextmanager
async def served(
    engine: Any, endpoints: Iterable[Endpoint], path: Path, **options: Any
) -> AsyncIterator[Server]:
    """Run a server on the socket at ``path``."""
    server = Server(engine, endpoints, **options)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(64)
    await server.listen(sock)
    try:
        yield server
    finally:
        await server.close(grace=0.2)


@dataclass
class Response:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes = b""


class Client:
    """One connection, on which only the bytes that the test gives are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path: Path) -> "Client":
        return cls(*await asyncio.open_unix_connection(str(path), limit=2**20))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def request(
        self, method: str, target: str, *headers: str, body: bytes | None = None
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: docker", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def head(self) -> Response:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, status, reason = lines[0].split(" ", 2)
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return Response(int(status), reason, headers)

    async def response(self, *, body: bool = True) -> Response:
        response = await self.head()
        if not body or response.status in (204, 304) or response.status < 200:
            return response
        if response.headers.get("Transfer-Encoding") == "chunked":
            while part := await self.chunk():
                response.body += part
        elif "Content-Length" in response.headers:
            response.body = await self.reader.readexactly(int(response.headers["Content-Length"]))
        else:
            response.body = await self.reader.read()
        return response

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def call(
        self, method: str, target: str, *headers: str, body: bytes | None = None
    ) -> Response:
        await self.request(method, target, *headers, body=body)
        return await self.response(body=method != "HEAD")

    async def at_eof(self) -> bool:
        return await self.reader.read(1) == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    client = await Client.connect(path)
    try:
        yield client
    finally:
        await client.close()
