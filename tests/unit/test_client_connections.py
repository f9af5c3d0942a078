"""The client against engines that close connections, are slow, or send malformed responses."""

import asyncio
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_engine import ServerConnection, answering, chunked, fake_engine, json_answer

import palan
from palan.api.images import JSONMessage
from palan.api.version import MAX_VERSION
from palan.client import errors


LIST = json_answer(b'[{"Id":"abc","Names":["/web"],"State":"running"}]')
FRAMES = b"".join(
    struct.pack(">BxxxL", stream, len(data)) + data
    for stream, data in ((1, b"one\n"), (2, b"two\n"), (1, b"three"))
)
LOGS = chunked(FRAMES[:9], FRAMES[9:], kind="application/vnd.docker.multiplexed-stream")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def client(url: str, **options: Any) -> palan.Client:
    return palan.Client(url, version=str(MAX_VERSION), **options)


def async_client(url: str, **options: Any) -> palan.AsyncClient:
    return palan.AsyncClient(url, version=str(MAX_VERSION), **options)


UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
CUT = b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x03two\x01\0\0\0\0\0\0\x01!"
CUT_ENDS = (0, 12, 23, 32)


@pytest.mark.parametrize(
    "answer", [LIST, chunked(b'[{"Id":"a', b'bc"}]')], ids=["sized", "chunked"]
)
def test_a_cut_at_every_byte_is_a_lost_connection(path: Path, answer: bytes) -> None:
    sent = [b""]

    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(sent[0])

    with fake_engine(path, handle) as engine:
        for size in range(len(answer)):
            sent[0] = answer[:size]
            with client(engine.url) as docker, pytest.raises(errors.ConnectionLost) as caught:
                docker.containers.list()
            assert caught.value.path == "/containers/json", size
        sent[0] = answer
        with client(engine.url) as docker:
            assert docker.containers.list()[0].id == "abc"


async def test_a_cut_at_every_byte_async(path: Path) -> None:
    sent = [b""]

    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(sent[0])

    with fake_engine(path, handle) as engine:
        for size in range(len(LIST)):
            sent[0] = LIST[:size]
            async with async_client(engine.url) as docker:
                with pytest.raises(errors.ConnectionLost):
                    await docker.containers.list()
        sent[0] = LIST
        async with async_client(engine.url) as docker:
            assert (await docker.containers.list())[0].id == "abc"


def test_a_log_that_is_cut_gives_what_came_and_then_says_so(path: Path) -> None:
    sent = [b""]

    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(sent[0])

    whole = b"one\ntwo\nthree"
    with fake_engine(path, handle) as engine:
        for size in range(LOGS.index(b"\r\n\r\n") + 4, len(LOGS)):
            sent[0] = LOGS[:size]
            got = b""
            with client(engine.url) as docker, pytest.raises(errors.ConnectionLost):
                for output in docker.containers.logs("web", stdout=True, stderr=True):
                    got += output.data
            assert whole.startswith(got)
        sent[0] = LOGS
        with client(engine.url) as docker:
            assert docker.containers.logs("web", stdout=True).read_split() == (
                b"one\nthree",
                b"two\n",
            )


def test_an_engine_that_says_nothing_is_a_timeout(path: Path) -> None:
    seen: list[bool] = []

    def handle(connection: ServerConnection) -> None:
        connection.head()
        seen.append(connection.at_end())

    with fake_engine(path, handle) as engine, client(engine.url, timeout=0.1) as docker:
        began = time.monotonic()
        with pytest.raises(errors.Timeout) as caught:
            docker.containers.list()
        assert isinstance(caught.value, TimeoutError)
        assert time.monotonic() - began < 5
        with pytest.raises(errors.Timeout):
            docker.containers.logs("web", timeout=0.1).read()
    assert seen == [True, True]


def test_a_timeout_is_for_the_whole_call_not_for_each_byte(path: Path) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.head()
        for byte in LIST:
            connection.send(bytes([byte]))
            time.sleep(0.02)

    with fake_engine(path, handle) as engine, client(engine.url, timeout=0.2) as docker:
        with pytest.raises(errors.Timeout):
            docker.containers.list()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 101 Unasked\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n[]",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
        json_answer(b"[{"),
        json_answer(b'{"message":"an object where a list belongs"}'),
        json_answer(b'[{"Id": 7}]'),
        json_answer(b"[" * 100_000),
        json_answer(b"\xff\xfe"),
    ],
)
def test_nonsense_is_a_protocol_error(path: Path, answer: bytes) -> None:
    with fake_engine(path, answering(answer)) as engine, client(engine.url) as docker:
        with pytest.raises(errors.ProtocolError):
            docker.containers.list()


def test_a_head_without_end_is_not_read_for_ever(path: Path) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"X-More: and more\r\n" * 1000)

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        with pytest.raises(errors.ProtocolError):
            docker.containers.list()


def test_an_answer_after_the_answer_is_not_taken_for_the_next(path: Path) -> None:
    answer = LIST + json_answer(b'[{"Id":"smuggled"}]')
    with fake_engine(path, answering(answer, keep=True)) as engine, client(engine.url) as docker:
        for _ in range(3):
            assert [one.id for one in docker.containers.list()] == ["abc"]


def test_connections_are_kept_and_stale_ones_replaced(path: Path) -> None:
    def handle(connection: ServerConnection) -> None:
        # Three responses, then the connection ends, as when an engine is restarted.
        for _ in range(3):
            if not connection.head():
                return
            connection.send(LIST)

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        for _ in range(9):
            docker.containers.list()
        assert engine.connections == 3


def test_requests_that_may_have_had_an_effect_are_not_repeated(path: Path) -> None:
    requests: list[str] = []

    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            requests.append(head.split()[0])
            if head.startswith("POST"):
                return
            connection.send(LIST)

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        docker.containers.list()
        with pytest.raises(errors.ConnectionLost):
            docker.containers.start("web")
    assert requests == ["GET", "POST"]


async def test_a_cancelled_call_frees_its_connection(path: Path) -> None:
    ended = threading.Event()

    def handle(connection: ServerConnection) -> None:
        head = connection.head()
        if "/wait" in head:
            connection.at_end()
            ended.set()
        else:
            connection.send(LIST)

    with fake_engine(path, handle) as engine:
        async with async_client(engine.url) as docker:
            call = asyncio.create_task(docker.containers.wait("web"))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(ended.wait, 5)
            assert len(await docker.containers.list()) == 1


def test_an_error_can_be_looked_at_before_it_is_raised(path: Path) -> None:
    answer = json_answer(b'{"message":"no such thing"}', "404 Not Found")
    with fake_engine(path, answering(answer)) as engine, client(engine.url) as docker:
        with docker.request("GET", "/thing") as response:
            assert response.json() == {"message": "no such thing"}
            with pytest.raises(errors.NotFound, match="no such thing"):
                response.raise_for_status()


async def test_a_cancelled_run_removes_its_container(path: Path) -> None:
    heads: list[str] = []

    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            connection.body(head)
            heads.append(head.split("\r\n")[0])
            time.sleep(0.2)
            connection.send(json_answer(b'{"Id":"made"}', "201 Created"))

    with fake_engine(path, handle) as engine:
        async with async_client(engine.url) as docker:
            call = asyncio.create_task(docker.containers.run("box", ["true"]))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    assert [head.split()[0] for head in heads] == ["POST", "DELETE"]
    assert "/containers/made?" in heads[1]


@pytest.mark.parametrize("size", range(0, len(CUT), 3))
def test_a_session_that_is_cut_within_a_frame_is_a_lost_connection(path: Path, size: int) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.body(connection.head())
        connection.send(UPGRADED + CUT[:size])

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        session = docker.exec.start("x")
        got = b""
        with session:
            try:
                got = session.read()
            except errors.ConnectionLost:
                assert size not in CUT_ENDS
            else:
                assert (size in CUT_ENDS, b"one\ntwo!".startswith(got)) == (True, True)


def test_closing_from_another_thread_ends_a_call(path: Path) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.at_end()

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        timer = threading.Timer(0.1, docker.close)
        timer.start()
        with pytest.raises(errors.ClientClosed):
            docker.containers.wait("web")
        timer.join()
        with pytest.raises(errors.ClientClosed):
            docker.containers.list()


def test_a_refused_upload_stops_and_says_why(path: Path) -> None:
    refusal = json_answer(b'{"message":"no such container"}', "404 Not Found")

    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(refusal)
        time.sleep(0.1)

    sent = 0

    def pieces() -> Any:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield bytes(1 << 16)

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        with pytest.raises(errors.NotFound, match="no such container"):
            docker.containers.archive_put("web", "/", pieces())
    assert sent < 1 << 30


def test_both_sides_may_talk_at_once(path: Path) -> None:
    """Progress that is not read yet does not keep the engine from reading the upload."""
    line_of_progress = b'{"status":"' + b"x" * 1000 + b'"}\r\n'

    def handle(connection: ServerConnection) -> None:
        head = connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(2000):
            connection.send(line_of_progress)
        assert len(connection.body(head)) == 64 << 16

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        upload = (bytes(1 << 16) for _ in range(64))
        assert len(list(docker.images.load(upload))) == 2000


def test_errors_within_progress_are_raised(path: Path) -> None:
    answer = chunked(
        b'{"status":"Pulling","id":"x"}\r\n{"errorDetail":{"code":3,',
        b'"message":"no space left"},"error":"no space left"}\r\n',
    )
    with fake_engine(path, answering(answer)) as engine, client(engine.url) as docker:
        seen: list[JSONMessage] = []
        with pytest.raises(errors.OperationFailed, match="no space left") as caught:
            docker.images.create(from_image="x", registry_auth="").wait(seen.append)
        assert caught.value.code == 3
        assert [message.status for message in seen] == ["Pulling"]


def test_statuses_are_errors_by_meaning(path: Path) -> None:
    for status, kind in (
        (400, errors.InvalidParameter),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (418, errors.InvalidParameter),
        (500, errors.InternalError),
        (501, errors.NotYetImplemented),
        (503, errors.Unavailable),
        (599, errors.InternalError),
    ):
        answer = json_answer(b'{"message":"because"}', f"{status} Somehow")
        place = path.with_name(f"{status}")
        with fake_engine(place, answering(answer)) as engine, client(engine.url) as docker:
            with pytest.raises(kind) as caught:
                docker.containers.kill("web")
        error = caught.value
        assert (error.status, error.message) == (status, "because")
        assert (error.method, error.path) == ("POST", "/containers/web/kill")


def test_a_missing_socket_is_a_failed_connection(tmp_path: Path) -> None:
    with client(f"unix://{tmp_path}/none") as docker, pytest.raises(errors.ConnectFailed):
        docker.containers.list()


def test_a_stream_that_is_forgotten_gives_up_its_connection(path: Path) -> None:
    ended = threading.Event()

    def handle(connection: ServerConnection) -> None:
        connection.head()
        connection.send(LOGS[:-10])
        connection.at_end()
        ended.set()

    with fake_engine(path, handle) as engine, client(engine.url) as docker:
        for _ in docker.containers.logs("web", follow=True, stdout=True):
            break
        assert ended.wait(5)


def test_nothing_stays_open(path: Path) -> None:
    with fake_engine(path, answering(LIST, keep=True)) as engine:
        before = descriptors()
        for _ in range(20):
            with client(engine.url) as docker:
                docker.containers.list()
                docker.containers.logs("web").open()
        deadline = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() <= before


def test_output_before_an_error_is_returned_first(path: Path) -> None:
    complaint = struct.pack(">BxxxL", 3, 6) + b"broken"
    answer = chunked(FRAMES + complaint, kind="application/vnd.docker.multiplexed-stream")
    with fake_engine(path, answering(answer)) as engine, client(engine.url) as docker:
        logs = docker.containers.logs("web", stdout=True, stderr=True)
        assert [next(logs).data for _ in range(3)] == [b"one\n", b"two\n", b"three"]
        with pytest.raises(errors.OperationFailed, match="broken"):
            logs.next()
