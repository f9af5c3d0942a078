"""Containers in adverse conditions: clients that do not read, full disks, failed removals."""

import contextlib
import threading
import time

import pytest


pytestmark = pytest.mark.root

FLOOD = ("sh", "-c", "trap '' TERM; yes")


def seconds(call, *arguments):
    began = time.monotonic()
    answer = call(*arguments)
    assert answer.status == 204, answer.body
    return time.monotonic() - began


# ---- clients that do not read ------------------------------------------------------------


@pytest.fixture
def stalled(engine):
    """A container whose output somebody has asked for and does not read."""
    container = engine.create(*FLOOD)
    _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdout=1")
    assert engine.api.post(f"/containers/{container}/start").status == 204
    time.sleep(0.5)  # until all buffers are full
    with contextlib.closing(sock):
        yield container


def test_a_container_whose_client_does_not_read_can_be_stopped(engine, stalled):
    assert seconds(engine.api.post, f"/containers/{stalled}/stop?t=1") < 6
    assert engine.inspect(stalled)["State"]["ExitCode"] == 137


def test_a_container_whose_client_does_not_read_can_be_removed(engine, stalled):
    assert seconds(engine.api.delete, f"/containers/{stalled}?force=1") < 5


def test_a_container_whose_exec_is_not_read_can_be_removed(engine):
    container = engine.run("sleep", "1000")
    body = {"Cmd": list(FLOOD), "AttachStdout": True}
    created = engine.api.post(f"/containers/{container}/exec", body).json["Id"]
    _, sock = engine.api.hijack(f"/exec/{created}/start", {"Detach": False})
    time.sleep(0.5)
    with contextlib.closing(sock):
        assert seconds(engine.api.delete, f"/containers/{container}?force=1") < 5


def test_a_slow_reader_gets_all_output_of_a_container_that_ends_by_itself(engine):
    container = engine.create("sh", "-c", "head -c 3000000 /dev/zero", Tty=True)
    _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdout=1")
    assert engine.api.post(f"/containers/{container}/start").status == 204
    time.sleep(3)
    size = 0
    with contextlib.closing(sock):
        while data := sock.recv(65536):
            size += len(data)
    assert size == 3_000_000
    assert engine.wait(container) == 0
