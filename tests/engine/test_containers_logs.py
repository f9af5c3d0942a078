"""Logs: selection of lines, their format, and following."""

import re
import threading
import time

import pytest
from tests.support.http import frames, text_of


pytestmark = pytest.mark.root

TALK = ("sh", "-c", "echo one; echo two >&2; echo three; printf partial")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture(scope="module")
def talk(shared_engine):
    """Yield an ended container that has written to both streams."""
    container = shared_engine.run(*TALK, Labels={"tier": "web"}, Env=["ZONE=east"])
    shared_engine.wait(container)
    yield container
    shared_engine.remove(container)


def logs(engine, container, query="stdout=1&stderr=1", **options):
    answer = engine.api.get(f"/containers/{container}/logs?{query}", **options)
    assert answer.status == 200, answer.body
    return answer.body


def test_streams(shared_engine, talk):
    data = logs(shared_engine, talk)
    assert text_of(data, 1) == b"one\nthree\npartial"
    assert text_of(data, 2) == b"two\n"
    assert [text for _, text in frames(logs(shared_engine, talk, "stdout=true"))] == [
        b"one\n",
        b"three\n",
        b"partial",
    ]
    assert text_of(logs(shared_engine, talk, "stderr=1"), 2) == b"two\n"


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("1.41", "application/vnd.docker.raw-stream"),
        ("1.42", "application/vnd.docker.multiplexed-stream"),
    ],
)
def test_content_type(shared_engine, talk, version, kind):
    answer = shared_engine.api.at(version).get(f"/containers/{talk}/logs?stdout=1")
    assert answer.headers["content-type"] == kind
    assert text_of(answer.body, 1) == b"one\nthree\npartial"


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("0", b""),
        ("1", b"partial"),
        ("2", b"three\npartial"),
        ("100", b"one\nthree\npartial"),
        ("all", b"one\nthree\npartial"),
        ("few", b"one\nthree\npartial"),
        ("-3", b"one\nthree\npartial"),
    ],
)
def test_tail(shared_engine, talk, tail, expected):
    assert text_of(logs(shared_engine, talk, f"stdout=1&tail={tail}"), 1) == expected


def test_timestamps(shared_engine, talk):
    text = text_of(logs(shared_engine, talk, "stdout=1&timestamps=1"), 1).decode()
    assert re.fullmatch(f"{STAMP} one\n{STAMP} three\n{STAMP} partial", text)


def test_details(shared_engine, talk):
    assert text_of(logs(shared_engine, talk, "stdout=1&details=1&tail=1"), 1) == b" partial"
    container = shared_engine.run(
        "echo", "hi", Labels={"tier": "web", "other": "x"}, Env=["ZONE=east", "MORE=1"],
        host={"LogConfig": {"Type": "json-file", "Config": {"labels": "tier", "env": "ZONE"}}},
    )  # fmt: skip
    shared_engine.wait(container)
    text = text_of(logs(shared_engine, container, "stdout=1&details=1"), 1)
    assert text == b"ZONE=east,tier=web hi\n"
    stamped = text_of(logs(shared_engine, container, "stdout=1&details=1&timestamps=1"), 1)
    assert re.fullmatch(f"{STAMP} ZONE=east,tier=web hi\n", stamped.decode())
    shared_engine.remove(container)


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, "must specify at least one of 'stdout' or 'stderr'"),
        ("stdout=1&since=noon", 400, 'invalid value for "since": '),
        ("stdout=1&until=noon", 400, 'invalid value for "until": '),
    ],
)
def test_refusals(shared_engine, talk, query, status, message):
    answer = shared_engine.api.get(f"/containers/{talk}/logs?{query}")
    assert answer.status == status
    assert answer.message.startswith(message)


def test_absent(shared_engine):
    answer = shared_engine.api.get("/containers/absent/logs?stdout=1")
    assert (answer.status, answer.message) == (404, "No such container: absent")


def test_since_and_until(engine):
    container = engine.run("sh", "-c", "echo early; sleep 0.4; echo late")
    engine.wait(container)
    text = text_of(logs(engine, container, "stdout=1&timestamps=1"), 1).decode()
    early, late = re.findall(STAMP, text)
    # Nanoseconds since the epoch, as clients send them.
    start = engine.inspect(container)["State"]["StartedAt"]
    assert start < early < late
    whole, fraction = _epoch(late)
    assert text_of(logs(engine, container, f"stdout=1&since={whole}.{fraction}"), 1) == b"late\n"
    whole, fraction = _epoch(early)
    assert text_of(logs(engine, container, f"stdout=1&until={whole}.{fraction}"), 1) == b"early\n"
    assert text_of(logs(engine, container, f"stdout=1&since={late}"), 1) == b"late\n"
    assert logs(engine, container, "stdout=1&since=4000000000") == b""
    assert logs(engine, container, "stdout=1&until=1") == b""
    assert logs(engine, container, f"stdout=1&follow=1&until={whole}.{fraction}") != b""


def _epoch(stamp):
    seconds, fraction = stamp.removesuffix("Z").split(".")
    parsed = time.strptime(seconds + "UTC", "%Y-%m-%dT%H:%M:%S%Z")
    return int(time.mktime(parsed) - time.timezone), fraction


def test_before_the_start_there_are_none(engine):
    assert logs(engine, engine.create(*TALK)) == b""


def test_follow_to_the_end(engine):
    container = engine.run("sh", "-c", "echo one; sleep 0.3; echo two >&2; printf three")
    began = time.monotonic()
    data = logs(engine, container, "stdout=1&stderr=1&follow=1")
    assert text_of(data, 1) == b"one\nthree"
    assert text_of(data, 2) == b"two\n"
    assert time.monotonic() - began < 10
    assert logs(engine, container, "stdout=1&stderr=1&follow=1") == data, "it has ended"
    assert text_of(logs(engine, container, "stdout=1&follow=1&tail=1"), 1) == b"three"


def test_follow_begins_at_once_and_waits(engine):
    container = engine.run("sh", "-c", "echo one; read x; echo $x", OpenStdin=True)
    got = []

    def follow():
        got.append(logs(engine, container, "stdout=1&follow=1"))

    thread = threading.Thread(target=follow)
    thread.start()
    _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdin=1")
    thread.join(0.3)
    assert thread.is_alive()
    sock.sendall(b"two\n")
    thread.join(10)
    sock.close()
    assert text_of(got[0], 1) == b"one\ntwo\n"


def test_logs_continue_after_a_restart(engine):
    container = engine.run("sh", "-c", "echo up; exec sleep 600")
    for count in (1, 2):
        deadline = time.monotonic() + 10
        while text_of(logs(engine, container, "stdout=1"), 1) != b"up\n" * count:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert engine.api.post(f"/containers/{container}/restart?t=0").status == 204


def test_of_a_tty(engine):
    container = engine.run("sh", "-c", "echo one; echo two >&2", Tty=True)
    engine.wait(container)
    answer = engine.api.get(f"/containers/{container}/logs?stdout=1&stderr=1")
    assert answer.headers["content-type"] == "application/vnd.docker.raw-stream"
    assert answer.body == b"one\r\ntwo\r\n"
    assert logs(engine, container, "stderr=1") == b""
    stamped = logs(engine, container, "stdout=1&timestamps=1&tail=1").decode()
    assert re.fullmatch(f"{STAMP} two\r\n", stamped)


def test_long_lines_come_whole(engine):
    container = engine.run("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo after")
    engine.wait(container)
    assert text_of(logs(engine, container, "stdout=1"), 1) == b"x" * 100000 + b"\nafter\n"


def test_of_the_driver_none(engine):
    container = engine.run("echo", "lost", host={"LogConfig": {"Type": "none"}})
    engine.wait(container)
    answer = engine.api.get(f"/containers/{container}/logs?stdout=1")
    assert (answer.status, answer.message) == (
        501,
        "configured logging driver does not support reading",
    )
    assert engine.inspect(container)["LogPath"] == ""


def test_of_the_driver_local(engine):
    container = engine.run("echo", "kept", host={"LogConfig": {"Type": "local"}})
    engine.wait(container)
    assert text_of(logs(engine, container), 1) == b"kept\n"
