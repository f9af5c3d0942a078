"""Attach through a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.serving import Client, connected, rooms, served
from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    TextMessage,
)

from palan.api import Group, Request
from palan.api.errors import NotFound
from palan.api.frames import STDERR, STDOUT, frame
from palan.api.results import Hijack


containers = Group("containers", "Containers.")

HEADERS = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@containers.endpoint(
    "GET",
    "/containers/{id}/attach/ws",
    operation="attach_websocket",
    result=Hijack(upgrade="websocket"),
)
class AttachWebSocket(Request):
    id: str


class Session:
    def __init__(self, *output: bytes, tty: bool = False, stays: bool = False) -> None:
        self.tty = tty
        self._output = output
        self._stays = stays
        self.taken: list[bytes] = []
        self.closed = asyncio.Event()
        self.deaf = False

    async def output(self) -> AsyncIterator[bytes]:
        for data in self._output:
            yield data
        if self._stays:
            await asyncio.Event().wait()

    async def write(self, data: bytes) -> None:
        if self.deaf:
            raise BrokenPipeError
        self.taken.append(data)

    async def close_input(self) -> None:
        raise AssertionError

    async def close(self) -> None:
        self.closed.set()


class WebSocket:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.connection = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    async def send(self, event: Event) -> None:
        await self.client.send(self.connection.send(event))

    async def next(self) -> Event | None:
        while not self._events:
            data = await self.client.reader.read(65536)
            if not data:
                return None
            self.connection.receive_data(data)
            self._events = list(self.connection.events())
        return self._events.pop(0)


@contextlib.asynccontextmanager
async def attached(tmp_path, result: Any, version: str = "") -> AsyncIterator[WebSocket]:
    async def attach_websocket(_request: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    path = tmp_path / "s"
    engine = rooms(containers={"attach_websocket": attach_websocket})
    async with served(engine, containers, path), connected(path) as client:
        await client.request("GET", f"{version}/containers/1/attach/ws?stream=1", *HEADERS)
        yield WebSocket(client)


async def test_handshake(tmp_path):
    async with attached(tmp_path, Session()) as ws:
        head = await ws.client.head()
        assert (head.status, head.reason) == (101, "Switching Protocols")
        assert head.headers == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": "ICX+Yqv66kxgM0FcWaLWlFLwTAI=",
        }


async def test_frames_become_messages(tmp_path):
    session = Session(frame(STDOUT, b"out") + frame(STDERR, b"err")[:4], frame(STDERR, b"err")[4:])
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        assert await ws.next() == BytesMessage(data=bytearray(b"out"))
        assert await ws.next() == BytesMessage(data=bytearray(b"err"))
        assert await ws.next() == CloseConnection(code=1000, reason="")
        await ws.client.close()
    assert session.closed.is_set()


async def test_raw_output_of_a_terminal(tmp_path):
    async with attached(tmp_path, Session(b"\x01\x00\x00", tty=True)) as ws:
        await ws.client.head()
        assert await ws.next() == BytesMessage(data=bytearray(b"\x01\x00\x00"))


async def test_text_before_1_28(tmp_path):
    smile = "\u263a".encode()
    session = Session(smile[:2], smile[2:], b"\xff", tty=True)
    async with attached(tmp_path, session, "/v1.27") as ws:
        await ws.client.head()
        texts = []
        while isinstance(event := await ws.next(), TextMessage):
            texts.append(event.data)
        assert "".join(texts) == "\u263a\ufffd"


async def test_input(tmp_path):
    session = Session(stays=True)
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        await ws.send(TextMessage(data="text \u263a", message_finished=False))
        await ws.send(TextMessage(data=" more"))
        await ws.send(BytesMessage(data=b"\xff"))
        await ws.send(Ping(payload=b"there?"))
        assert await ws.next() == Pong(payload=b"there?")
        assert b"".join(session.taken) == "text \u263a more".encode() + b"\xff"
        await ws.send(CloseConnection(code=1000, reason="bye"))
        assert await ws.next() == CloseConnection(code=1000, reason="")
        assert await ws.next() is None
    assert session.closed.is_set()


async def test_closing_without_a_code(tmp_path):
    session = Session(stays=True)
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        await ws.client.send(b"\x88\x80\x00\x00\x00\x00")
        closing = await ws.next()
        assert isinstance(closing, CloseConnection)
        assert await ws.next() is None


async def test_a_process_that_reads_no_more(tmp_path):
    session = Session(stays=True)
    session.deaf = True
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        await ws.send(BytesMessage(data=b"x"))
        await ws.send(BytesMessage(data=b"y"))
        await ws.send(Ping())
        assert isinstance(await ws.next(), Pong)


async def test_nonsense_closes(tmp_path):
    session = Session(stays=True)
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        await ws.client.send(b"\xff\xff\xff\xff")
        closing = await ws.next()
        assert isinstance(closing, CloseConnection)
        assert closing.code == 1002
    assert session.closed.is_set()


async def test_a_client_that_vanishes_detaches(tmp_path):
    session = Session(stays=True)
    async with attached(tmp_path, session) as ws:
        await ws.client.head()
        await ws.client.close()
        await asyncio.wait_for(session.closed.wait(), 2)


async def test_errors_come_before_the_handshake(tmp_path):
    async with attached(tmp_path, NotFound("No such container: 1")) as ws:
        response = await ws.client.response()
        assert (response.status, response.body) == (404, b'{"message":"No such container: 1"}\n')


@pytest.mark.parametrize("without", range(len(HEADERS)))
async def test_requests_for_no_websocket(tmp_path, without):
    headers = [header for n, header in enumerate(HEADERS) if n != without]
    session = Session(stays=True)

    async def attach_websocket(_request):
        return session

    path = tmp_path / "s"
    engine = rooms(containers={"attach_websocket": attach_websocket})
    async with served(engine, containers, path), connected(path) as client:
        await client.request("GET", "/containers/1/attach/ws", *headers)
        assert await client.reader.read() == (
            b"HTTP/1.1 400 Bad Request\r\n\r\nnot websocket protocol"
        )
    assert session.closed.is_set()
