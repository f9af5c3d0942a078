"""Attach and exec: connections that become raw two-way streams."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.serving import Client, connected, rooms, served

from palan import __version__
from palan.api import Group, Message, Request
from palan.api.errors import Conflict, NotFound
from palan.api.frames import STDOUT, frame
from palan.api.results import Hijack
from palan.api.version import MAX_VERSION
from palan.server import connection as connection_module


RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


class StartConfig(Message):
    detach: bool = False


containers = Group("containers", "Containers.")
execs = Group("exec", "Execs.")


@containers.endpoint(
    "POST", "/containers/{id}/attach", operation="attach", result=Hijack(early=True)
)
class Attach(Request):
    id: str


@execs.endpoint("POST", "/exec/{id}/start", operation="start", result=Hijack())
class Start(Request):
    id: str
    body: StartConfig | None = None


class EchoSession:
    """A session that echoes its input, and outputs ``end`` after the end of input."""

    def __init__(self, tty: bool = True, end: bytes = b"end") -> None:
        self.tty = tty
        self.end = end
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        self.taken = b""
        self.input_closed = False
        self.closed = asyncio.Event()

    async def output(self) -> AsyncIterator[bytes]:
        while (data := await self.lines.get()) is not None:
            yield data
        yield self.end

    async def write(self, data: bytes) -> None:
        self.taken += data
        await self.lines.put(data)

    async def close_input(self) -> None:
        self.input_closed = True
        await self.lines.put(None)

    async def close(self) -> None:
        self.closed.set()


def answering(session: Any) -> Any:
    async def method(_request: Any) -> Any:
        if isinstance(session, Exception):
            raise session
        return session

    return method


@contextlib.asynccontextmanager
async def attached(tmp_path, session: Any) -> AsyncIterator[Any]:
    path = tmp_path / "s"
    engine = rooms(containers={"attach": answering(session)}, exec={"start": answering(session)})
    async with served(engine, [*containers, *execs], path):
        yield path


# ---- heads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "headers", "tty", "status", "kind"),
    [
        ("", UPGRADE, False, "101 UPGRADED", MULTIPLEXED),
        ("", UPGRADE, True, "101 UPGRADED", RAW),
        ("/v1.42", UPGRADE, False, "101 UPGRADED", MULTIPLEXED),
        ("/v1.41", UPGRADE, False, "101 UPGRADED", RAW),
        ("", (), False, "200 OK", RAW),
        ("", (), True, "200 OK", RAW),
    ],
)
async def test_heads(tmp_path, *, version, headers, tty, status, kind):
    upgraded = {"Connection": "Upgrade", "Upgrade": "tcp"} if headers else {}
    api = {
        "Api-Version": str(MAX_VERSION),
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": f"Palan/{__version__} (linux)",
    }
    for target, more in (("/containers/1/attach", {}), ("/exec/1/start", api)):
        session = EchoSession(tty)
        where = tmp_path / target.split("/")[1]
        where.mkdir()
        async with attached(where, session) as path, connected(path) as client:
            await client.request("POST", f"{version}{target}?stream=1", *headers)
            head = await client.head()
            assert f"{head.status} {head.reason}" == status
            assert head.headers == {"Content-Type": kind, **upgraded, **more}


async def test_a_detached_exec_is_an_ordinary_answer(tmp_path):
    async with attached(tmp_path, None) as path, connected(path) as client:
        for _ in range(2):
            response = await client.call(
                "POST", "/exec/1/start", "Content-Type: application/json", body=b'{"Detach":true}'
            )
            assert (response.status, response.headers["Content-Length"]) == (200, "0")


async def test_errors_of_attach_are_text(tmp_path):
    error = NotFound("No such container: x")
    async with attached(tmp_path, error) as path:
        for headers in (UPGRADE, ()):
            async with connected(path) as client:
                await client.request("POST", "/containers/x/attach", *headers)
                response = await client.response()
                assert (response.status, response.reason) == (404, "Not Found")
                assert response.headers == {"Content-Type": RAW}
                assert response.body == b"No such container: x\r\n"


async def test_errors_of_exec_are_json(tmp_path):
    async with attached(tmp_path, Conflict("no")) as path, connected(path) as client:
        response = await client.call("POST", "/exec/x/start", *UPGRADE)
        assert (response.status, response.body) == (409, b'{"message":"no"}\n')
        assert response.headers["Content-Type"] == "application/json"


# ---- bytes ------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [UPGRADE, ()])
async def test_both_directions(tmp_path, headers):
    session = EchoSession()
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *headers)
        await client.head()
        for line in (b"one\n", b"\x00\xff\n"):
            await client.send(line)
            assert await client.reader.readexactly(len(line)) == line
        client.writer.write_eof()
        assert await client.reader.read() == b"end"
    await asyncio.wait_for(session.closed.wait(), 2)
    assert session.input_closed


@pytest.mark.parametrize("headers", [UPGRADE, ()])
async def test_input_may_follow_the_request_at_once(tmp_path, headers):
    session = EchoSession()
    async with attached(tmp_path, session) as path, connected(path) as client:
        lines = ["POST /containers/1/attach HTTP/1.1", "Host: d", *headers, "", ""]
        await client.send("\r\n".join(lines).encode() + b"early")
        client.writer.write_eof()
        await client.head()
        assert await client.reader.read() == b"earlyend"


async def test_input_may_follow_the_body_at_once(tmp_path):
    session = EchoSession()
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.send(
            b"POST /exec/1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            b'Content-Length: 2\r\n\r\n{}{"early":1}GET / HTTP/1.1\r\n\r\n'
        )
        client.writer.write_eof()
        await client.head()
        assert await client.reader.read() == b'{"early":1}GET / HTTP/1.1\r\n\r\nend'


async def test_output_ends_the_connection(tmp_path):
    class Hello(EchoSession):
        async def output(self):
            yield frame(STDOUT, b"hello")

    session = Hello(tty=False)
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        await client.head()
        assert await client.reader.read() == frame(STDOUT, b"hello")
        await asyncio.wait_for(session.closed.wait(), 2)
        assert not session.input_closed


async def test_output_is_read_though_input_was_not(tmp_path):
    """Closing with unread bytes would reset the connection and lose the output."""

    class Deaf(EchoSession):
        async def output(self):
            await asyncio.sleep(0.05)
            yield b"x" * 100_000

        async def write(self, _data):
            await asyncio.Event().wait()

    async with attached(tmp_path, Deaf()) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        client.writer.write(b"y" * 2**20)
        await client.head()
        assert await client.reader.read() == b"x" * 100_000


async def test_output_continues_when_the_process_reads_no_more(tmp_path):
    class Closed(EchoSession):
        async def output(self):
            await asyncio.sleep(0.05)
            yield b"still here"

        async def write(self, _data):
            raise BrokenPipeError

    async with attached(tmp_path, Closed()) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        await client.head()
        await client.send(b"x" * 1000)
        await client.send(b"x" * 1000)
        assert await client.reader.read() == b"still here"


async def test_a_client_that_vanishes_detaches(tmp_path):
    session = EchoSession()
    async with attached(tmp_path, session) as path:
        async with connected(path) as client:
            await client.request("POST", "/containers/1/attach", *UPGRADE)
            await client.head()
        await asyncio.wait_for(session.closed.wait(), 2)


async def test_a_client_that_vanishes_after_half_closing(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_module, "_GONE_CHECK", 0.02)

    class Silent(EchoSession):
        async def output(self):
            await asyncio.Event().wait()
            yield b""

    session = Silent()
    async with attached(tmp_path, session) as path:
        async with connected(path) as client:
            await client.request("POST", "/containers/1/attach", *UPGRADE)
            await client.head()
            client.writer.write_eof()
            await asyncio.sleep(0.05)
            assert session.input_closed
            assert not session.closed.is_set()
        await asyncio.wait_for(session.closed.wait(), 2)


async def test_the_input_of_a_client_that_disconnects_is_read(tmp_path):
    session = EchoSession()
    async with attached(tmp_path, session) as path:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"POST /containers/1/attach HTTP/1.1\r\nHost: d\r\n\r\nlast words")
        await asyncio.wait_for(session.closed.wait(), 2)
    assert session.taken == b"last words"
    assert session.input_closed


async def test_bugs_of_a_session(tmp_path, capsys):
    class Broken(EchoSession):
        async def output(self):
            yield b"some"
            raise KeyError("oops")

    session = Broken()
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        await client.head()
        with contextlib.suppress(ConnectionError):
            assert await client.reader.read() == b"some"
        await asyncio.wait_for(session.closed.wait(), 2)
    assert "oops" in capsys.readouterr().out


# ---- pressure -------------------------------------------------------------------------------


class Flood(EchoSession):
    """A session that outputs as fast as it can, and counts the bytes."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total
        self.sent = 0

    async def output(self):
        data = b"x" * 2**16
        while self.sent < self.total:
            self.sent += len(data)
            yield data


async def test_output_waits_for_the_client(tmp_path):
    session = Flood(2**30)
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        await asyncio.sleep(0.1)
        first = session.sent
        await asyncio.sleep(0.05)
        assert session.sent == first < 4 * 2**20


async def test_input_waits_for_the_process(tmp_path):
    class Slow(EchoSession):
        go = asyncio.Event()

        async def write(self, data):
            await self.go.wait()
            self.taken += data

    session = Slow()
    size = 8 * 2**20
    async with attached(tmp_path, session) as path, connected(path) as client:
        await client.request("POST", "/containers/1/attach", *UPGRADE)
        await client.head()

        async def send():
            for _ in range(size // 2**16):
                await client.send(b"x" * 2**16)
            client.writer.write_eof()

        sender = asyncio.create_task(send())
        await asyncio.sleep(0.1)
        assert not sender.done()
        session.go.set()
        await sender
        assert await client.reader.read() == b"end"
    assert len(session.taken) == size


def read_everything(path: str) -> tuple[int, float]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(
            b"POST /containers/1/attach HTTP/1.1\r\nHost: d\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        began, size, buffer = time.perf_counter(), 0, bytearray(2**18)
        while count := sock.recv_into(buffer):
            size += count
        return size, time.perf_counter() - began


async def test_throughput(tmp_path):
    total = 64 * 2**20
    async with attached(tmp_path, Flood(total)) as path:
        size, seconds = await asyncio.to_thread(read_everything, str(path))
    assert size > total
    # A tenth of the usual rate, as the machine may be busy.
    assert total / seconds > 30 * 10**6


async def test_two_clients_do_not_mix(tmp_path):
    sessions = [EchoSession(end=b"1"), EchoSession(end=b"2")]
    left = list(sessions)

    async def attach(_request):
        return left.pop(0)

    path = tmp_path / "s"
    async with served(rooms(containers={"attach": attach}), list(containers), path):
        clients = [await Client.connect(path) for _ in sessions]
        for n, client in enumerate(clients):
            await client.request("POST", "/containers/1/attach", *UPGRADE)
            await client.head()
            await client.send(b"%d" % n)
        for client in clients:
            client.writer.write_eof()
        assert [await client.reader.read() for client in clients] == [b"01", b"12"]
        for client in clients:
            await client.close()
