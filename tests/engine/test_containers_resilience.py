"""Containers in adverse conditions: clients that do not read, full disks, failed removals."""

import contextlib
import io
import os
import shutil
import signal
import tarfile
import threading
import time

import pytest
from tests.support.crash import eventually
from tests.support.engine import IMAGE, TestEngine
from tests.support.http import read_all

from palan.host.monitored import find_monitors
from palan.host.mounts import mount, unmount


pytestmark = pytest.mark.root

FLOOD = ("sh", "-c", "trap '' TERM; yes")


def seconds(call, *arguments):
    began = time.monotonic()
    answer = call(*arguments)
    assert answer.status == 204, answer.body
    return time.monotonic() - began


def in_background(call, *arguments):
    """Begin a call that takes long; return a function that waits for its response."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call(*arguments)), daemon=True)
    thread.start()
    time.sleep(0.3)

    def answer():
        thread.join(15)
        assert not thread.is_alive(), "nobody answers"
        return answers[0]

    return answer


# ---- clients that do not read ------------------------------------------------------------


@pytest.fixture
def stalled(engine):
    """Yield a container; a client has requested its output, and does not read it."""
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


# ---- processes that others kill or stop -------------------------------------------------


def test_a_start_fails_if_the_runtime_is_killed_in_between(tmp_path):
    crun = shutil.which("crun")
    if crun is None:
        pytest.skip("needs crun")
    runtime = tmp_path / "killed"
    runtime.write_text(f"""#!/bin/sh
case " $* " in
    *" create "*) setsid sleep 300 & kill -9 $$ ;;
esac
exec {crun} "$@"
""")
    runtime.chmod(0o755)
    own = TestEngine("--add-runtime", f"killed={runtime}")
    own.start()
    try:
        own.load_image()
        container = own.create("true", host={"Runtime": "killed"})
        began = time.monotonic()
        answer = own.api.post(f"/containers/{container}/start")
        assert time.monotonic() - began < 15
        assert answer.status == 500
        assert "the runtime was killed" in answer.message
        assert own.inspect(container)["State"]["Status"] == "created"
        assert own.api.delete(f"/containers/{container}").status == 204
    finally:
        own.close()


@pytest.mark.parametrize("command", [("sleep", "1000"), ("sh", "-c", "trap exit TERM; sleep 99")])
def test_a_container_whose_conmon_is_stopped_can_be_stopped(engine, command):
    container = engine.run(*command)
    monitors = find_monitors(engine.exec_root / "containers")
    (monitor,) = (found for found in monitors if found.container == container)
    os.kill(monitor.pid, signal.SIGSTOP)
    assert seconds(engine.api.post, f"/containers/{container}/stop?t=1") < 5
    assert engine.inspect(container)["State"]["ExitCode"] == 137


def test_an_export_is_complete_if_the_root_was_unmounted(engine):
    container = engine.run("sh", "-c", "echo own > /own; exec sleep 1000")
    eventually(lambda: engine.api.get(f"/containers/{container}/changes").json)
    whole = engine.api.get(f"/containers/{container}/export").body
    unmount(engine.exec_root / "containers" / container / "rootfs", lazy=True)
    again = engine.api.get(f"/containers/{container}/export").body
    with tarfile.open(fileobj=io.BytesIO(whole)) as before, \
         tarfile.open(fileobj=io.BytesIO(again)) as after:  # fmt: skip
        assert "own" in after.getnames()
        assert sorted(before.getnames()) == sorted(after.getnames())


# ---- a full disk -------------------------------------------------------------------------


@pytest.fixture
def small_engine():
    """Yield an engine with its data root on a small filesystem of its own."""
    engine = TestEngine()
    engine.data_root.mkdir()
    mount("small", engine.data_root, "tmpfs", 0, "size=24m")
    engine.start()
    engine.load_image()
    yield engine
    (engine.data_root / "filler").unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(unmount, engine.data_root, lazy=True)
        engine.remove_all()
        engine.stop()
    engine.close()


def fill(engine):
    filler = (engine.data_root / "filler").open("wb", buffering=0)
    with filler as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_the_end_of_a_container_is_noted_though_the_disk_is_full(small_engine):
    engine = small_engine
    container = engine.run("sleep", "1000")
    kept = engine.run("sleep", "1000")
    going = engine.run("sleep", "1000", host={"AutoRemove": True})
    fill(engine)
    assert engine.api.post(f"/containers/{container}/kill", timeout=10).status == 204
    assert engine.api.post(f"/containers/{container}/wait", timeout=10).json["StatusCode"] == 137
    # The reserve for removals may have room for a few rows.
    assert engine.api.post("/containers/create", {"Image": IMAGE}).status in (201, 500)
    # A client that waits for the removal is answered, whether it succeeds or not.
    waiting = in_background(engine.api.post, f"/containers/{going}/wait?condition=removed")
    assert engine.api.post(f"/containers/{going}/kill", timeout=10).status == 204
    assert waiting().json["StatusCode"] == 137
    engine.kill()
    (engine.data_root / "filler").unlink()
    engine.start()
    state = engine.inspect(container)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert engine.inspect(kept)["State"]["Running"]
    assert engine.api.get(f"/containers/{going}/json").status == 404


def test_a_container_whose_row_cannot_be_saved_does_not_run(small_engine):
    engine = small_engine
    containers = [engine.create("sleep", "1000") for _ in range(3)]
    fill(engine)
    for container in containers:
        answer = engine.api.post(f"/containers/{container}/start", timeout=20)
        # SQLite may have had room for one or two changes.
        assert answer.status in (204, 500), answer.body
        if answer.status == 500:
            assert engine.api.post(f"/containers/{container}/wait", timeout=10).status == 200
            assert not engine.inspect(container)["State"]["Running"]
    for container in containers:
        assert engine.api.delete(f"/containers/{container}?force=1", timeout=20).status in (
            204,
            500,
        )
    (engine.data_root / "filler").unlink()
    for container in containers:
        assert engine.api.delete(f"/containers/{container}?force=1").status in (204, 404)


# ---- removals ----------------------------------------------------------------------------


def test_a_restart_does_not_remove_what_is_removed_at_its_end(engine):
    container = engine.run("sleep", "1000", host={"AutoRemove": True})
    assert engine.api.post(f"/containers/{container}/restart?t=0").status == 204
    assert engine.inspect(container)["State"]["Running"]
    waiting = in_background(engine.api.post, f"/containers/{container}/wait?condition=removed")
    assert engine.api.post(f"/containers/{container}/kill").status == 204
    assert waiting().json["StatusCode"] == 137


def test_a_start_without_a_runtime_fails_and_ends_waits():
    engine = TestEngine("--add-runtime", "broken=/nonexistent/x", "--default-runtime", "broken")
    engine.start()
    engine.load_image()
    try:
        container = engine.create("true", host={"AutoRemove": True})
        waiting = in_background(engine.api.post, f"/containers/{container}/wait?condition=removed")
        assert engine.api.post(f"/containers/{container}/start").status == 503
        assert waiting().status == 200
        assert engine.api.get(f"/containers/{container}/json").status == 404
    finally:
        engine.close()


def test_a_removal_that_failed_can_be_repeated(engine):
    container = engine.create("true")
    directory = engine.data_root / "containers" / container
    kept = directory / "diff" / "kept"
    kept.mkdir()
    mount("kept", kept, "tmpfs", 0)  # a mount point can't be deleted
    waiting = in_background(engine.api.post, f"/containers/{container}/wait?condition=removed")
    answer = engine.api.delete(f"/containers/{container}")
    assert answer.status == 500
    assert "unable to remove filesystem" in answer.message
    assert "unable to remove filesystem" in waiting().json["Error"]["Message"]
    assert engine.inspect(container)["State"]["Dead"]
    assert engine.api.post(f"/containers/{container}/start").status == 409
    assert engine.api.delete(f"/containers/{container}").status == 500
    for place in engine.data_root.rglob("kept"):
        unmount(place)
    assert engine.api.delete(f"/containers/{container}").status == 204
    assert not list(engine.data_root.rglob("kept"))


def test_a_client_of_a_container_that_is_removed_before_its_start_is_disconnected(engine):
    container = engine.create("true")
    _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdout=1&stdin=1")
    assert engine.api.delete(f"/containers/{container}").status == 204
    assert read_all(sock) == b""
