"""``palan serve`` as a process: signals, reload, exclusiveness, the service manager, reset."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.support.engine import TestEngine
from tests.support.http import API

from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root


@pytest.fixture
def configured(tmp_path):
    """Yield an engine with a configuration file that the test may change."""
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"labels": ["a=1"]}))
    engine = TestEngine("--config-file", str(path))
    engine.start()
    yield engine, path
    engine.close()


def labels(engine):
    return engine.api.get("/info").json["Labels"]


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def palan(*words):
    return [sys.executable, "-m", "palan", *map(str, words)]


def run(*words):
    """Run a command that ends by itself."""
    return subprocess.run(palan(*words), check=False, capture_output=True, text=True, timeout=20)


def test_it_is_there_in_well_under_a_second(own_engine):
    own_engine.stop()
    began = time.monotonic()
    own_engine.start()
    # An idle machine takes 0.4 s; this one may be busy with other tests.
    assert time.monotonic() - began < 3


def test_containers_keep_running_after_sigterm(own_engine):
    container = own_engine.run("sleep", "1000")
    pid = own_engine.inspect(container)["State"]["Pid"]
    began = time.monotonic()
    own_engine.stop()
    assert time.monotonic() - began < 3
    assert not own_engine.socket.exists()
    assert not (own_engine.base / "pid").exists()
    assert Path(f"/proc/{pid}").exists()
    own_engine.start()
    assert own_engine.inspect(container)["State"]["Pid"] == pid


def test_sigterm_ends_endless_streams(own_engine):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    with contextlib.closing(connection):
        connection.connect(str(own_engine.socket))
        connection.sendall(
            f"GET /v{MAX_VERSION}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert connection.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        own_engine.stop()
        assert time.monotonic() - began < 5
        while connection.recv(65536):
            pass


def test_sighup_takes_on_the_changed_file(configured):
    engine, path = configured
    assert labels(engine) == ["a=1"]
    began = time.time()
    path.write_text(json.dumps({"labels": ["b=2"], "mtu": 1400}))
    engine.process.send_signal(signal.SIGHUP)
    eventually(lambda: labels(engine) == ["b=2"])
    assert "some changes of the configuration take effect at the next start" in (
        engine.log.read_text()
    )
    query = f'since={began:.6f}&until={time.time():.6f}&filters={{"type":["daemon"]}}'
    lines = engine.api.get("/events?" + query.replace('"', "%22")).body.splitlines()
    (event,) = [json.loads(line) for line in lines]
    assert event["Action"] == "reload"


def test_sighup_with_a_wrong_file_changes_nothing(configured):
    engine, path = configured
    path.write_text(json.dumps({"labels": ["b=2"], "colour": "blue"}))
    engine.process.send_signal(signal.SIGHUP)
    eventually(lambda: "don't match any configuration option: colour" in engine.log.read_text())
    assert labels(engine) == ["a=1"]


def test_a_second_engine_is_refused(own_engine, tmp_path):
    first = own_engine
    roots = ["--data-root", first.data_root, "--exec-root", first.exec_root]
    host = ["-H", f"unix://{tmp_path}/s"]
    second = run("serve", *roots, *host, "--pidfile=")
    assert second.returncode == 1
    assert f"data root {first.data_root} is in use by process {first.process.pid}" in second.stderr

    elsewhere = ["--data-root", tmp_path / "data", "--exec-root", tmp_path / "exec"]
    second = run("serve", *elsewhere, *host, "--pidfile", first.base / "pid")
    assert second.returncode == 1
    assert f"process with PID {first.process.pid} is still running" in second.stderr

    second = run("serve", *elsewhere, "-H", first.url, "--pidfile=")
    assert second.returncode == 1
    assert "another process listens there" in second.stderr
    assert first.api.get("/_ping").status == 200


def test_the_service_manager_passes_a_socket_and_is_notified(tmp_path):
    engine = TestEngine()
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.settimeout(20)
    notified.bind(str(tmp_path / "notify"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(engine.socket))
    listening.listen()
    engine.exec_root.mkdir(exist_ok=True)
    # The shell's process becomes the engine's, as systemd's would: descriptor 3, and its own id.
    script = 'exec 3<&0 0</dev/null; LISTEN_PID=$$ exec "$@"'
    command = palan(
        "serve", "-H", "fd://", "--data-root", engine.data_root,
        "--exec-root", engine.exec_root, "--pidfile", engine.base / "pid",
    )  # fmt: skip
    with engine.log.open("ab") as log, notified, listening:
        engine.process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *command],
            stdin=listening.fileno(), stdout=log, stderr=log,
            env={**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )  # fmt: skip
        assert notified.recv(4096) == b"READY=1", engine.log.read_text()
        assert engine.api.get("/_ping").body == b"OK"
        engine.stop()
        assert notified.recv(4096) == b"STOPPING=1"
    engine.socket.unlink()
    engine.close()


def test_min_api_version_is_the_oldest_that_is_answered():
    engine = TestEngine("--min-api-version=1.44")
    try:
        engine.start()
        assert API(engine.socket, "1.44").get("/info").status == 200
        answer = API(engine.socket, "1.43").get("/info")
        assert answer.status == 400
        assert b"1.44" in answer.body
    finally:
        engine.close()


def test_reset_removes_an_engine_that_was_killed_and_its_containers():
    engine = TestEngine()
    engine.start()
    engine.load_image()
    pid = engine.inspect(engine.run("sleep", "1000"))["State"]["Pid"]
    engine.kill()
    roots = ("--data-root", engine.data_root, "--exec-root", engine.exec_root)
    assert run("system", "reset", "--yes", *roots).returncode == 0
    # Process 1 may take a moment to reap it.
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert str(engine.exec_root) not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/sys/class/net", engine.config.bridge_name).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*{engine.config.cgroup_root}"))
    assert not engine.data_root.exists()
    assert run("system", "reset", "--yes", *roots).returncode == 0
    engine.base.joinpath("log").unlink()
    engine.base.joinpath("pid").unlink(missing_ok=True)
    engine.base.rmdir()
    engine.socket.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        engine.exec_root.rmdir()


def test_reset_is_refused_while_the_engine_runs(own_engine):
    roots = ("--data-root", own_engine.data_root, "--exec-root", own_engine.exec_root)
    result = run("system", "reset", "--yes", *roots)
    assert result.returncode == 1
    assert "is in use by process" in result.stderr


@pytest.mark.parametrize("roots", [("dätä", "pälan-"), ('da ta,x"', "pa lan,")])
def test_containers_run_whatever_the_roots_are_called(roots, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    engine = TestEngine()
    engine.exec_root.rmdir()
    engine.data_root = engine.base / roots[0]
    engine.exec_root = Path(tempfile.mkdtemp(prefix=roots[1], dir="/run"))
    engine.socket = engine.exec_root / "api.sock"
    engine.api = API(engine.socket)
    try:
        engine.start()
        engine.load_image()
        assert engine.output("echo", "hello") == "hello\n"
    finally:
        engine.close()
