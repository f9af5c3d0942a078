import asyncio
import errno
import socket
from contextlib import closing

import pytest
from tests.support.serving import connected, rooms

from palan.api import Group, Request
from palan.api.registry import endpoints
from palan.api.results import NO_CONTENT
from palan.server.app import Server, serving


things = Group("things", "Things.")


@things.endpoint("POST", "/a", operation="a", result=NO_CONTENT)
class A(Request):
    pass


@things.endpoint("POST", "/b", operation="b", result=NO_CONTENT)
class B(Request):
    pass


async def nothing(_request):
    return None


def test_missing_operations_that_are_not_pending_are_named():
    with pytest.raises(RuntimeError, match=r"^the engine has no things\.a, things\.b$"):
        Server(rooms(), things)
    with pytest.raises(RuntimeError, match=r"^the engine has no things\.b$"):
        Server(rooms(things={"a": nothing}), things)
    with pytest.raises(RuntimeError, match=r"^the engine has no things\.b$"):
        Server(rooms(things={"a": nothing, "b": None}), things)


def test_pending_is_enough():
    Server(rooms(pending=["things.b"], things={"a": nothing}), things)


def test_everything_is_served_by_default():
    Server(rooms(one.name for one in endpoints()))


async def test_serving_on_several_sockets(tmp_path):
    paths = [tmp_path / "1", tmp_path / "2"]
    sockets = []
    for path in paths:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        sockets.append(sock)
    engine = rooms(things={"a": nothing, "b": nothing})
    async with serving(engine, *sockets, endpoints=things):
        for path in paths:
            async with connected(path) as client:
                assert (await client.call("POST", "/b")).status == 204
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(str(paths[0]))


async def test_an_answer_waits_until_what_was_recorded_is_committed(tmp_path):
    order = []

    @things.endpoint("GET", "/c", operation="c", result=NO_CONTENT)
    class C(Request):
        pass

    async def done(_request):
        order.append("done")

    async def settled():
        order.append("settled")

    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "1"))
        sock.listen()
        engine = rooms(things={"a": done, "b": done, "c": done})
        async with (
            serving(engine, sock, endpoints=things, settled=settled),
            connected(tmp_path / "1") as client,
        ):
            await client.call("POST", "/a")
            assert order == ["done", "settled"]
            await client.call("GET", "/c")
            assert order == ["done", "settled", "done"]


async def test_a_failure_of_the_machine_is_the_answer(tmp_path):
    async def full(_request):
        raise OSError(errno.ENOSPC, "x", "/var/lib/palan/tmp/x")

    async def odd(_request):
        raise OSError(errno.EPERM, "x", "/secret")

    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "1"))
        sock.listen()
        engine = rooms(things={"a": full, "b": odd, "c": full})
        async with (
            serving(engine, sock, endpoints=things),
            connected(tmp_path / "1") as client,
        ):
            answer = await client.call("POST", "/a")
            assert answer.status == 500
            assert b'"/var/lib/palan/tmp/x: no space left on device"' in answer.body
            answer = await client.call("POST", "/b")
            assert b"internal error (PermissionError)" in answer.body
