"""Attach: the connection becomes the container's streams, with and without an upgrade."""

import base64
import os
import socket
import threading
import time

import pytest
from tests.support.http import frames, read_all, text_of

from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root

ECHO = ("sh", "-c", "echo ready; while read line; do echo got $line; done; echo end")
BOTH = "stdout=1&stderr=1"


def attach(engine, container, query, *, upgrade=True):
    return engine.api.hijack(f"/containers/{container}/attach?{query}", upgrade=upgrade)


def read_until(sock, wanted):
    data = b""
    while wanted not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


def test_before_the_start_nothing_is_missed(engine):
    container = engine.create("sh", "-c", "echo one; echo two >&2")
    head, sock = attach(engine, container, f"stream=1&{BOTH}")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    assert b"Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
    assert b"Upgrade: tcp\r\n" in head
    engine.api.post(f"/containers/{container}/start")
    data = read_all(sock)
    assert text_of(data, 1) == b"one\n"
    assert text_of(data, 2) == b"two\n"
    assert engine.inspect(container)["State"]["Status"] == "exited", "known when output ends"


def test_without_an_upgrade(engine):
    container = engine.create("echo", "one")
    head, sock = attach(engine, container, "stream=1&stdout=1", upgrade=False)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    engine.api.post(f"/containers/{container}/start")
    assert list(frames(read_all(sock))) == [(1, b"one\n")]


def test_several_clients_see_the_same(engine):
    container = engine.create("sh", "-c", "echo one; sleep 0.2; echo two")
    sockets = [attach(engine, container, "stream=1&stdout=1")[1] for _ in range(3)]
    engine.api.post(f"/containers/{container}/start")
    assert [text_of(read_all(sock), 1) for sock in sockets] == [b"one\ntwo\n"] * 3


def test_input_and_its_end(engine):
    container = engine.create(*ECHO, OpenStdin=True, StdinOnce=True)
    _, sock = attach(engine, container, f"stream=1&stdin=1&{BOTH}")
    engine.api.post(f"/containers/{container}/start")
    sock.sendall(b"hello\nyou\n")
    sock.shutdown(socket.SHUT_WR)
    assert text_of(read_all(sock), 1) == b"ready\ngot hello\ngot you\nend\n"
    assert engine.wait(container) == 0


def test_input_that_came_before_the_start(engine):
    container = engine.create("cat", OpenStdin=True, StdinOnce=True)
    _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1")
    sock.sendall(b"early\n")
    sock.shutdown(socket.SHUT_WR)
    engine.api.post(f"/containers/{container}/start")
    assert text_of(read_all(sock), 1) == b"early\n"


def test_much_input(engine):
    size = 3_000_000
    container = engine.create("sh", "-c", "wc -c", OpenStdin=True, StdinOnce=True)
    _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1")
    engine.api.post(f"/containers/{container}/start")
    sender = threading.Thread(
        target=lambda: (sock.sendall(b"x" * size), sock.shutdown(socket.SHUT_WR))
    )
    sender.start()
    output = text_of(read_all(sock), 1)
    sender.join()
    assert int(output) == size


def test_input_stays_open_without_stdin_once(engine):
    container = engine.run(*ECHO, OpenStdin=True)
    for word in (b"a", b"b"):
        _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1")
        sock.sendall(word + b"\n")
        read_until(sock, b"got " + word)
        sock.close()
    assert engine.inspect(container)["State"]["Running"] is True


def test_the_log_first(engine):
    container = engine.run(*ECHO, OpenStdin=True, StdinOnce=True)
    deadline = time.monotonic() + 10
    while b"ready" not in engine.api.get(f"/containers/{container}/logs?stdout=1").body:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    _, sock = attach(engine, container, f"stream=1&stdin=1&logs=1&{BOTH}")
    sock.sendall(b"hi\n")
    sock.shutdown(socket.SHUT_WR)
    assert text_of(read_all(sock), 1) == b"ready\ngot hi\nend\n"


def test_the_log_first_and_nothing_twice(engine):
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done; read x; echo last $x"
    container = engine.run("sh", "-c", script, OpenStdin=True)
    expected = b"".join(b"line %d\n" % i for i in range(400))
    sockets = [attach(engine, container, "stream=1&stdout=1&logs=1")[1] for _ in range(5)]
    _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1&logs=1")
    sock.sendall(b"word\n")
    for each in (*sockets, sock):
        assert text_of(read_all(each), 1) == expected + b"last word\n"


def test_the_log_of_a_terminal_and_what_is_not_yet_a_line(engine):
    container = engine.run(
        "sh", "-c", "printf 'name? '; read x; printf 'hi '; read y; echo $x $y",
        Tty=True, OpenStdin=True,
    )  # fmt: skip
    _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1&logs=1")
    data = read_until(sock, b"name? ")
    sock.sendall(b"ann\n")
    data += read_until(sock, b"hi ")
    sock.sendall(b"\x10\x11")
    assert read_all(sock) == b""
    _, sock = attach(engine, container, "stream=1&stdin=1&stdout=1&logs=1")
    assert read_until(sock, b"hi ") == data == b"name? ann\r\nhi "
    sock.sendall(b"lee\n")
    assert read_all(sock) == b"lee\r\nann lee\r\n"


def test_the_log_only(engine):
    container = engine.run("sh", "-c", "echo one; echo two >&2")
    engine.wait(container)
    for upgrade in (True, False):
        _, sock = attach(engine, container, f"logs=1&{BOTH}", upgrade=upgrade)
        data = read_all(sock)
        assert text_of(data, 1) == b"one\n"
        assert text_of(data, 2) == b"two\n"


def test_only_the_streams_that_were_asked_for(engine):
    container = engine.create("sh", "-c", "echo one; echo two >&2")
    _, sock = attach(engine, container, "stream=1&stderr=1")
    engine.api.post(f"/containers/{container}/start")
    assert list(frames(read_all(sock))) == [(2, b"two\n")]


def test_with_nothing_it_ends_at_once(engine):
    container = engine.run("sleep", "600")
    for query in ("", "logs=1", "stream=1"):
        head, sock = attach(engine, container, query)
        assert b" 101 " in head
        assert read_all(sock) == b""


def test_an_ended_container_is_waited_for(engine):
    container = engine.run("echo", "again")
    engine.wait(container)
    _, sock = attach(engine, container, "stream=1&stdout=1")
    sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(30)
    engine.api.post(f"/containers/{container}/start")
    assert text_of(read_all(sock), 1) == b"again\n"


def test_a_client_that_goes_does_no_harm(engine):
    container = engine.run("sh", "-c", "while :; do echo x; sleep 0.01; done")
    _, sock = attach(engine, container, f"stream=1&{BOTH}")
    read_until(sock, b"x")
    sock.close()
    _, sock = attach(engine, container, f"stream=1&{BOTH}")
    read_until(sock, b"x")
    sock.close()
    assert engine.inspect(container)["State"]["Running"] is True


# ---- a terminal --------------------------------------------------------------------


def test_tty(engine):
    container = engine.create(*ECHO, Tty=True, OpenStdin=True)
    head, sock = attach(engine, container, "stream=1&stdin=1&stdout=1")
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    engine.api.post(f"/containers/{container}/start")
    data = read_until(sock, b"ready\r\n")
    sock.sendall(b"hi\n")
    data += read_until(sock, b"got hi\r\n")
    assert data == b"ready\r\nhi\r\ngot hi\r\n"
    sock.close()


def test_detach_keys(engine):
    container = engine.run("cat", Tty=True, OpenStdin=True)
    for query, keys in (("", b"\x10\x11"), ("&detachKeys=ctrl-a,x", b"\x01x")):
        _, sock = attach(engine, container, f"stream=1&stdin=1&stdout=1{query}")
        sock.sendall(b"abc" + keys)
        data = read_all(sock)
        assert data in (b"abc", b""), "the keys themselves do not get there"
    assert engine.inspect(container)["State"]["Running"] is True


def test_resize(engine):
    container = engine.run(
        "sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done",
        Tty=True,
    )  # fmt: skip
    _, sock = attach(engine, container, "stream=1&stdout=1&logs=1")
    read_until(sock, b"ready")
    assert engine.api.post(f"/containers/{container}/resize?h=30&w=90").status == 200
    assert b"30 90\r\n" in read_all(sock)


# ---- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("absent/attach?stream=1", b"404 Not Found", b"No such container: absent\r\n"),
        (
            "made/attach?stream=1&detachKeys=ctrl-bogus",
            b"400 Bad Request",
            b"Invalid detach keys (ctrl-bogus) provided\r\n",
        ),
    ],
)
def test_errors_are_text_in_a_stream(engine, upgrade, target, status, message):
    engine.create("true", name="made")
    head, sock = engine.api.hijack(f"/containers/{target}", upgrade=upgrade)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    assert b"Api-Version" not in head
    assert read_all(sock) == message


def test_attaching_to_a_paused_container_is_refused(engine):
    container = engine.run("sleep", "600", name="paused")
    engine.api.post("/containers/paused/pause")
    head, sock = attach(engine, "paused", "stream=1&stdout=1")
    assert head.startswith(b"HTTP/1.1 409 Conflict")
    assert read_all(sock) == (
        b"container paused is paused, unpause the container before attach\r\n"
    )
    engine.api.post(f"/containers/{container}/unpause")


# ---- WebSocket --------------------------------------------------------------------------


def websocket(engine, target):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(engine.api.path))
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /v{MAX_VERSION}{target} HTTP/1.1\r\nHost: x\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    return head, sock


def masked(payload):
    return bytes([0x82, 0x80 | len(payload)]) + b"\0\0\0\0" + payload


def test_websocket(engine):
    container = engine.run("cat", OpenStdin=True)
    head, sock = websocket(engine, f"/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: " in head
    sock.sendall(masked(b"hello\n"))
    assert read_until(sock, b"hello\n") == b"\x82\x06hello\n"
    sock.close()


def test_no_websocket(engine):
    container = engine.create("true")
    answer = engine.api.get(f"/containers/{container}/attach/ws?logs=1&stdout=1")
    assert (answer.status, answer.body) == (400, b"not websocket protocol")
    answer = engine.api.get("/containers/absent/attach/ws?logs=1&stdout=1")
    assert (answer.status, answer.message) == (404, "No such container: absent")
