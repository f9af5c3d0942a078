"""Connections that are reused, break off, stall, or send malformed requests."""

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.serving import connected, rooms, served

from palan.api import Group, Message, Request
from palan.api.errors import InvalidParameter
from palan.api.results import (
    NO_CONTENT,
    Bytes,
    ByteSource,
    ByteStream,
    Json,
    Messages,
    MessageStream,
)
from palan.server import connection as connection_module


class Thing(Message):
    name: str = ""


things = Group("things", "Things.")


@things.endpoint("GET", "/name", operation="name", result=Json(Thing))
class Name(Request):
    n: str = ""


@things.endpoint("POST", "/make", operation="make", result=NO_CONTENT)
class Make(Request):
    body: Thing | None = None


@things.endpoint("PUT", "/upload", operation="upload", result=Json(Thing))
class Upload(Request):
    body: ByteSource


@things.endpoint("GET", "/tar", operation="tar", result=Bytes())
class Tar(Request):
    pass


@things.endpoint("GET", "/events", operation="events", result=Messages(Thing))
class Events(Request):
    pass


async def name(request: Any) -> Thing:
    return Thing(name=request.n)


@contextlib.asynccontextmanager
async def serving(tmp_path, **methods: Any) -> AsyncIterator[Any]:
    methods.setdefault("name", name)
    pending = {f"things.{one.operation}" for one in things} - {f"things.{one}" for one in methods}
    path = tmp_path / "s"
    async with served(rooms(pending, things=methods), things, path) as server:
        yield path, server


def get(n, *headers):
    return "\r\n".join([f"GET /name?n={n} HTTP/1.1", "Host: d", *headers, "", ""]).encode()


# ---- several requests -----------------------------------------------------------------


async def test_a_connection_serves_many(tmp_path):
    async with serving(tmp_path) as (path, server), connected(path) as client:
        for n in range(20):
            assert (await client.call("GET", f"/name?n={n}")).body == b'{"Name":"%d"}\n' % n
        assert len(server._connections) == 1


async def test_pipelined_requests_are_answered_in_order(tmp_path):
    running = 0

    async def slow(request):
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.02 if request.n == "0" else 0)
        running -= 1
        return Thing(name=request.n)

    async with serving(tmp_path, name=slow) as (path, _), connected(path) as client:
        await client.send(b"".join(get(n) for n in range(5)))
        for n in range(5):
            assert (await client.response()).body == b'{"Name":"%d"}\n' % n


async def test_requests_may_trickle_in(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        for byte in get(1):
            await client.send(bytes([byte]))
        assert (await client.response()).status == 200


async def test_close_is_honoured(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.send(get(1, "Connection: close") + get(2))
        response = await client.response()
        assert response.headers["Connection"] == "close"
        assert await client.at_eof()


async def test_http_1_0(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.send(b"GET /name?n=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.response()).headers["Connection"] == "keep-alive"
        await client.send(b"GET /name?n=1 HTTP/1.0\r\n\r\n")
        assert (await client.response()).headers["Connection"] == "close"
        assert await client.at_eof()


# ---- bodies ----------------------------------------------------------------------------


async def test_unread_bodies_are_skipped(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        for body in (b"x" * 10, b"y" * 100_000):
            response = await client.call("GET", "/name?n=1", body=body)
            assert "Connection" not in response.headers
        await client.request("GET", "/name?n=2", "Transfer-Encoding: chunked")
        await client.send(b"3\r\nabc\r\n0\r\n\r\n")
        assert (await client.response()).body == b'{"Name":"2"}\n'
        assert (await client.call("GET", "/name?n=3")).body == b'{"Name":"3"}\n'


async def test_large_ones_cost_the_connection(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.request("GET", "/name?n=1", f"Content-Length: {2**20}")
        with contextlib.suppress(ConnectionError):
            await client.send(b"x" * 2**19)
        response = await client.response()
        assert response.status == 200
        assert response.headers["Connection"] == "close"
        assert await client.at_eof()


async def test_endless_chunks_cost_the_connection(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.request("GET", "/name?n=1", "Transfer-Encoding: chunked")
        assert (await client.response()).status == 200
        for _ in range(6):
            await client.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        assert await client.at_eof()


async def test_smuggled_requests_are_not_seen(tmp_path):
    asked = []

    async def record(request):
        asked.append(request.n)
        return Thing()

    async with serving(tmp_path, name=record) as (path, _):
        for evil in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n",
            b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
        ):
            async with connected(path) as client:
                await client.send(b"GET /name?n=first HTTP/1.1\r\nHost: d\r\n" + evil + get("evil"))
                await client.reader.read()
    assert "evil" not in asked


async def test_expect_continue(tmp_path):
    async def upload(request):
        return Thing(name=b"".join([part async for part in request.body]).decode())

    async with serving(tmp_path, upload=upload) as (path, _), connected(path) as client:
        await client.request("PUT", "/upload", "Expect: 100-continue", "Content-Length: 2")
        assert (await client.response()).status == 100
        await client.send(b"hi")
        assert (await client.response()).body == b'{"Name":"hi"}\n'
        # A client that sends its body at once receives no "100 Continue".
        await client.request("PUT", "/upload", "Expect: 100-continue", body=b"ho")
        assert (await client.response()).body == b'{"Name":"ho"}\n'


async def test_no_continue_for_what_is_not_wanted(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.request("GET", "/name?n=1", "Expect: 100-continue", "Content-Length: 2")
        response = await client.response()
        assert response.status == 200
        assert response.headers["Connection"] == "close"


async def test_a_malformed_body_is_a_400(tmp_path):
    async def upload(request):
        async for _ in request.body:
            pass

    async with serving(tmp_path, upload=upload) as (path, _), connected(path) as client:
        await client.request("PUT", "/upload", "Transfer-Encoding: chunked")
        await client.send(b"zz\r\n")
        response = await client.response()
        assert response.status == 400
        assert b"malformed chunked encoding" in response.body
        assert response.headers["Connection"] == "close"


async def test_a_body_that_ends_early(tmp_path):
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def upload(request):
        try:
            async for _ in request.body:
                pass
        except InvalidParameter as error:
            ended.set_result(error.message)
            raise

    async with serving(tmp_path, upload=upload) as (path, _), connected(path) as client:
        await client.request("PUT", "/upload", "Content-Length: 10")
        await client.send(b"abc")
        client.writer.write_eof()
        assert await asyncio.wait_for(ended, 2) == "unexpected EOF"
        assert (await client.response()).status == 400


async def test_an_upload_waits_for_its_reader(tmp_path):
    """Only a limited part of a body is buffered while the engine does not read it."""
    go = asyncio.Event()
    size = 32 * 2**20

    async def upload(request):
        await go.wait()
        return Thing(name=str(sum([len(part) async for part in request.body])))

    async with serving(tmp_path, upload=upload) as (path, server), connected(path) as client:
        await client.request("PUT", "/upload", f"Content-Length: {size}")

        async def send():
            for _ in range(size // 2**16):
                await client.send(b"x" * 2**16)

        sender = asyncio.create_task(send())
        await asyncio.sleep(0.1)
        [connection] = server._connections
        assert connection.reader.buffered < 2**20
        assert not sender.done()
        go.set()
        assert (await client.response()).body == b'{"Name":"%d"}\n' % size
        await sender


# ---- clients that disconnect --------------------------------------------------------------


async def endless(closed: asyncio.Event, item: Any) -> AsyncIterator[Any]:
    try:
        while True:
            yield item
            await asyncio.sleep(0)
    finally:
        closed.set()


async def test_a_stream_ends_with_its_client(tmp_path):
    closed = asyncio.Event()

    async def tar(_request):
        return ByteStream(endless(closed, b"x" * 2**16))

    async with serving(tmp_path, tar=tar) as (path, server):
        async with connected(path) as client:
            await client.request("GET", "/tar")
            await client.head()
        await asyncio.wait_for(closed.wait(), 2)
        await asyncio.sleep(0.01)
        assert not server._connections


async def test_a_silent_stream_ends_with_its_client(tmp_path):
    closed = asyncio.Event()

    async def silent():
        try:
            yield Thing(name="only")
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def events(_request):
        return MessageStream(silent(), early=True)

    async with serving(tmp_path, events=events) as (path, _):
        async with connected(path) as client:
            await client.request("GET", "/events")
            await client.head()
            await client.chunk()
            await asyncio.sleep(0.02)
            assert not closed.is_set()
        await asyncio.wait_for(closed.wait(), 2)


async def test_half_a_client_still_gets_its_stream(tmp_path):
    """``printf ... | nc -NU docker.sock``: the client sends no more, but still reads."""
    more = asyncio.Event()

    async def late():
        await more.wait()
        yield Thing(name="late")

    async def events(_request):
        return MessageStream(late(), early=True)

    async with serving(tmp_path, events=events) as (path, _), connected(path) as client:
        await client.request("GET", "/events")
        client.writer.write_eof()
        await client.head()
        await asyncio.sleep(0.02)
        more.set()
        assert await client.chunk() == b'{"Name":"late"}\n'
        assert await client.chunk() == b""
        assert await client.at_eof()


async def test_the_rest_of_a_client_that_had_ended_half(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_module, "_GONE_CHECK", 0.02)
    closed = asyncio.Event()

    async def silent():
        try:
            await asyncio.Event().wait()
            yield Thing()
        finally:
            closed.set()

    async def events(_request):
        return MessageStream(silent(), early=True)

    async with serving(tmp_path, events=events) as (path, _):
        async with connected(path) as client:
            await client.request("GET", "/events")
            client.writer.write_eof()
            await client.head()
            await asyncio.sleep(0.05)
            assert not closed.is_set()
        await asyncio.wait_for(closed.wait(), 2)


async def test_work_continues_without_the_client(tmp_path):
    go, done = asyncio.Event(), asyncio.Event()

    async def make(_request):
        await go.wait()
        await asyncio.sleep(0.01)
        done.set()

    async with serving(tmp_path, make=make) as (path, _):
        async with connected(path) as client:
            await client.request("POST", "/make")
            await asyncio.sleep(0.02)
        go.set()
        await asyncio.wait_for(done.wait(), 2)


async def test_the_request_of_a_client_that_disconnects_at_once_is_executed(tmp_path):
    made = asyncio.Event()

    async def make(_request):
        made.set()

    async with serving(tmp_path, make=make) as (path, _):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"POST /make HTTP/1.1\r\nHost: d\r\n\r\n")
        await asyncio.wait_for(made.wait(), 2)


async def test_a_stream_without_a_waiter_is_closed(tmp_path):
    go, closed = asyncio.Event(), asyncio.Event()

    class Stream:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise AssertionError

        async def aclose(self):
            closed.set()

    async def tar(_request):
        await go.wait()
        return ByteStream(Stream())

    async with serving(tmp_path, tar=tar) as (path, _):
        async with connected(path) as client:
            await client.request("GET", "/tar")
            await asyncio.sleep(0.02)
        go.set()
        await asyncio.wait_for(closed.wait(), 2)


async def test_eof_in_the_middle_of_a_head(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.send(b"GET /name HT")
        client.writer.write_eof()
        assert await client.at_eof()


async def test_eof_right_after_a_request(tmp_path):
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.send(get(1) + get(2))
        client.writer.write_eof()
        assert (await client.response()).status == 200
        assert (await client.response()).body == b'{"Name":"2"}\n'
        assert await client.at_eof()


async def test_slow_readers_hold_up_their_stream_only(tmp_path):
    sent = 0

    async def lots():
        nonlocal sent
        while True:
            sent += 2**16
            yield b"x" * 2**16

    async def tar(_request):
        return ByteStream(lots())

    async with serving(tmp_path, tar=tar) as (path, _), connected(path) as client:
        tracemalloc.start()
        try:
            await client.request("GET", "/tar")
            before = -1
            while sent != before:  # it stalls once the buffers between are full
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 8 * 2**20
            assert tracemalloc.get_traced_memory()[0] < 8 * 2**20
        finally:
            tracemalloc.stop()
        async with connected(path) as other:
            assert (await other.call("GET", "/name?n=1")).status == 200


async def test_heads_that_never_end(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_module, "_HEAD_TIMEOUT", 0.05)
    async with serving(tmp_path) as (path, _), connected(path) as client:
        assert (await client.call("GET", "/name?n=1")).status == 200
        await asyncio.sleep(0.1)  # idle is fine
        await client.send(b"GET /name HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(client.at_eof(), 2)


async def test_hostile_heads(tmp_path):
    async with serving(tmp_path) as (path, _):
        for evil, status in (
            (b"GET /" + b"a" * 70_000, 431),
            (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
            (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 431),
            (b"\x00" * 70_000, 431),
            (b"GET / HTTP/2.0\r\nHost: d\r\n\r\n", 505),
            (b"GET /\r\n\r\n", 400),
        ):
            async with connected(path) as client:
                await client.send(evil)
                assert (await client.response()).status == status
                assert await client.at_eof()


async def test_the_answer_to_an_error_is_read_though_more_was_sent(tmp_path):
    """Closing with unread bytes would reset the connection and lose the response."""
    async with serving(tmp_path) as (path, _), connected(path) as client:
        await client.send(b"NONSENSE\r\n\r\n" + b"x" * 100_000)
        assert (await client.response()).status == 400


# ---- stopping -------------------------------------------------------------------------------


async def test_idle_connections_close_when_the_server_stops(tmp_path):
    async with serving(tmp_path) as (path, server), connected(path) as client:
        await client.call("GET", "/name?n=1")
        await asyncio.wait_for(server.close(), 1)
        assert await client.at_eof()
        with pytest.raises(OSError, match=r"refused|such file"):
            await asyncio.open_unix_connection(str(path))


async def test_running_requests_are_answered_when_the_server_stops(tmp_path):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def make(_request):
        begun.set()
        await may_end.wait()

    async with serving(tmp_path, make=make) as (path, server), connected(path) as client:
        await client.request("POST", "/make")
        await begun.wait()
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)  # it begins to close before the request ends
        may_end.set()
        response = await client.response()
        assert response.status == 204
        assert response.headers["Connection"] == "close"
        await asyncio.wait_for(closing, 1)
        assert await client.at_eof()


async def test_slow_requests_are_cancelled(tmp_path):
    cancelled = asyncio.Event()

    async def make(_request):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(tmp_path, make=make) as (path, server), connected(path) as client:
        await client.request("POST", "/make")
        await asyncio.sleep(0.02)
        await asyncio.wait_for(server.close(grace=0.05), 1)
        assert cancelled.is_set()
        assert not server._connections


async def test_streams_end_when_the_server_stops(tmp_path):
    closed = asyncio.Event()

    async def tar(_request):
        return ByteStream(endless(closed, b"x"))

    async with serving(tmp_path, tar=tar) as (path, server), connected(path) as client:
        await client.request("GET", "/tar")
        await client.head()
        await asyncio.wait_for(server.close(grace=0.05), 1)
        assert closed.is_set()
