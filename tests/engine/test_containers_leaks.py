"""The engine keeps no descriptors or memory of clients that disconnect."""

import socket
import threading
import time
from pathlib import Path

import pytest
from tests.support.http import read_all, text_of

from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root


def descriptors(engine):
    return len(list(Path(f"/proc/{engine.process.pid}/fd").iterdir()))


def settles(engine, limit, seconds=10):
    """Return whether the engine soon has no more descriptors than ``limit``."""
    deadline = time.monotonic() + seconds
    while descriptors(engine) > limit:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def talker(engine):
    return engine.run("sh", "-c", "while :; do echo word; sleep 0.02; done", OpenStdin=True)


def hang_up(engine, method, target, *, upgrade=False):
    """Begin a request, read a little, and disconnect."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(engine.api.path))
    more = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    sock.sendall(
        f"{method} /v{MAX_VERSION}{target} HTTP/1.1\r\nHost: x\r\n"
        f"{more}Content-Length: 0\r\n\r\n".encode()
    )
    sock.recv(64)
    sock.close()


@pytest.mark.parametrize(
    ("method", "target", "upgrade"),
    [
        ("GET", "/containers/{id}/logs?stdout=1&follow=1", False),
        ("POST", "/containers/{id}/attach?stream=1&stdout=1", True),
        ("POST", "/containers/{id}/attach?stream=1&stdout=1&stdin=1", False),
        ("POST", "/containers/{id}/attach?stream=1&stdout=1&stdin=1&logs=1", True),
        ("POST", "/containers/{id}/wait", False),
        ("GET", "/events", False),
    ],
)
def test_clients_that_hang_up(engine, talker, method, target, upgrade):
    before = descriptors(engine)
    for _ in range(20):
        hang_up(engine, method, target.format(id=talker), upgrade=upgrade)
    assert settles(engine, before)
    assert engine.inspect(talker)["State"]["Running"] is True


def test_clients_of_what_does_not_start(engine):
    container = engine.create("cat", OpenStdin=True)
    before = descriptors(engine)
    for _ in range(20):
        hang_up(
            engine, "POST", f"/containers/{container}/attach?stream=1&stdout=1&stdin=1",
            upgrade=True,
        )  # fmt: skip
    assert settles(engine, before)


def test_execs_all_at_once(engine, talker):
    before = descriptors(engine)
    outputs = {}

    def run(number):
        body = {"Cmd": ["sh", "-c", f"echo {number}; cat"], "AttachStdout": True,
                "AttachStdin": True}  # fmt: skip
        exec_id = engine.api.post(f"/containers/{talker}/exec", body).json["Id"]
        _, sock = engine.api.hijack(f"/exec/{exec_id}/start", {})
        sock.sendall(b"in\n")
        sock.shutdown(socket.SHUT_WR)
        outputs[number] = text_of(read_all(sock), 1)
        assert engine.api.get(f"/exec/{exec_id}/json").json["ExitCode"] == 0

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outputs == {number: b"%d\nin\n" % number for number in range(12)}
    assert settles(engine, before)


def test_containers_that_came_and_went(engine):
    engine.remove(engine.run("true", host={"AutoRemove": False}))
    before = descriptors(engine)
    for _ in range(5):
        container = engine.create("echo", "x", host={"AutoRemove": True})
        _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdout=1")
        engine.api.post(f"/containers/{container}/start")
        assert text_of(read_all(sock), 1) == b"x\n"
    assert settles(engine, before)


def test_no_client_that_goes_takes_the_container_with_it(engine):
    """This kills conmon 2.1, unless glibc keeps freed memory (see ``palan.host.conmon``)."""
    container = engine.run("sh", "-c", "while :; do echo word; done", OpenStdin=True)
    for query in ("stream=1&stdout=1&stdin=1", "stream=1&stdout=1&stderr=1"):
        for _ in range(300):
            hang_up(engine, "POST", f"/containers/{container}/attach?{query}", upgrade=True)
    assert engine.inspect(container)["State"]["Running"] is True
