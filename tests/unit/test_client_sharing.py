"""Clients that are shared by processes, event loops, and many tasks."""

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_engine import ServerConnection, answering, chunked, fake_engine, json_answer

import palan
from palan.api.version import MAX_VERSION
from palan.client import errors


LIST = json_answer(b'[{"Id":"abc"}]')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def client(url: str) -> palan.Client:
    return palan.Client(url, version=str(MAX_VERSION))


def async_client(url: str) -> palan.AsyncClient:
    return palan.AsyncClient(url, version=str(MAX_VERSION))


def forked(work: Callable[[], Any]) -> None:
    """Run a function in a forked process; fail if it fails there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            work()
            gc.collect()
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_process_opens_connections_of_its_own(path: Path) -> None:
    with fake_engine(path, answering(LIST, keep=True)) as engine:
        docker = client(engine.url)
        docker.containers.list()
        assert engine.connections == 1

        def in_child() -> None:
            assert docker.containers.list()[0].id == "abc"
            docker.close()

        forked(in_child)
        assert engine.connections == 2
        # Neither use nor close in the child affects the parent's connection.
        docker.containers.list()
        assert engine.connections == 2
        docker.close()


def test_a_stream_that_is_dropped_in_a_child_goes_on_in_the_parent(path: Path) -> None:
    go_on = threading.Event()

    def handle(connection: ServerConnection) -> None:
        connection.head()
        begin, end = chunked(b"x" * 10, b"y" * 10, kind="application/octet-stream").split(b"a\r\ny")
        connection.send(begin)
        go_on.wait(10)
        connection.send(b"a\r\ny" + end)

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        export = docker.containers.export("c")
        assert export.chunk() == b"x" * 10
        forked(export.close)
        go_on.set()
        assert export.chunk() == b"y" * 10


def test_a_forked_process_has_an_event_loop_of_its_own(path: Path) -> None:
    with fake_engine(path, answering(LIST, keep=True)) as engine:
        docker = async_client(engine.url)

        async def ask() -> None:
            assert (await docker.containers.list())[0].id == "abc"

        async def both() -> None:
            await ask()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, forked, lambda: asyncio.run(ask_and_close()))
            assert engine.connections == 2
            await ask()
            assert engine.connections == 2
            await docker.close()

        async def ask_and_close() -> None:
            await ask()
            await docker.close()

        asyncio.run(both())


def test_a_second_event_loop_is_an_error_of_the_clients_own(path: Path) -> None:
    with fake_engine(path, answering(LIST, keep=True)) as engine:
        docker = async_client(engine.url)

        async def ask() -> None:
            await docker.containers.list()

        async def all_ways() -> None:
            for call in (docker.ping, docker.dial, docker.containers.list):
                with pytest.raises(errors.WrongEventLoop, match="one client for each event loop"):
                    await call()
            with pytest.raises(errors.WrongEventLoop):
                await docker.containers.export("c").chunk()
            await docker.close()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask())
        asyncio.run(all_ways())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def test_calls_share_a_limited_number_of_connections(path: Path) -> None:
    lock, answer = threading.Lock(), threading.Event()
    calls, at_once, most = 300, 0, 0

    def handle(connection: ServerConnection) -> None:
        nonlocal at_once, most
        while connection.head():
            with lock:
                at_once += 1
                most = max(most, at_once)
            answer.wait(10)
            with lock:
                at_once -= 1
            connection.send(LIST)

    with fake_engine(path, handle) as engine:
        async with async_client(engine.url) as docker:
            waiting = [asyncio.create_task(docker.containers.list()) for _ in range(calls)]
            while most < 64:  # noqa: ASYNC110 - the engine runs in threads
                await asyncio.sleep(0.01)
            # Without a slot, a call still has its time limit, and can be cancelled.
            with pytest.raises(errors.Timeout):
                await docker.containers.list(timeout=0.05)
            waiting.pop().cancel()
            answer.set()
            assert len(await asyncio.gather(*waiting)) == calls - 1
            assert engine.connections == most == 64
            # All slots were released: as many calls are possible again.
            await asyncio.gather(*(docker.containers.list() for _ in range(100)))
            assert engine.connections == 64


async def test_streams_and_waits_do_not_keep_calls_waiting(path: Path) -> None:
    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            if "/wait" in head:
                connection.at_end()
                return
            if "/export" in head:
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
                connection.at_end()
                return
            connection.send(json_answer(b"{}", "404 Not Found") if "/json" not in head else LIST)

    with fake_engine(path, handle) as engine:
        async with async_client(engine.url) as docker:
            streams = [docker.containers.export("c") for _ in range(70)]
            assert {await stream.chunk() for stream in streams} == {b"x"}
            waits = [asyncio.create_task(docker.containers.wait("c")) for _ in range(70)]
            # Errors release their slots, too.
            for _ in range(70):
                with pytest.raises(errors.NotFound):
                    await docker.containers.start("c")
            assert (await docker.containers.list(timeout=5))[0].id == "abc"
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
