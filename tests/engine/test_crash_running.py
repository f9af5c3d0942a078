"""``kill -9`` of the engine: containers keep running, and the next start adopts them."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.crash import (
    assert_quiet_log,
    assert_same_footprint,
    baseline,
    eventually,
    exec_output,
    killed,
    logs,
    processes_of,
    reboot,
    running,
)
from tests.support.http import text_of

from palan.host import processes
from palan.host.conmon import find_monitors


pytestmark = pytest.mark.root

COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"


@pytest.fixture(scope="module")
def crashing_engine():
    with running() as engine:
        yield engine


@pytest.fixture
def engine(crashing_engine):
    """Yield an engine; check at the end its log for errors, and that nothing of it is left."""
    engine = crashing_engine
    before = baseline(engine)
    engine.log.write_bytes(b"")
    yield engine
    if engine.process.poll() is not None:
        engine.start()
    engine.remove_all()
    assert_same_footprint(engine, before)
    assert_quiet_log(engine)


def state(engine, container):
    return engine.inspect(container)["State"]


def becomes(engine, container, status):
    eventually(lambda: state(engine, container)["Status"] == status)


def gone(engine, container):
    return engine.api.get(f"/containers/{container}/json").status == 404


def nanoseconds(text):
    """Parse a time of the API, exact to the second."""
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def test_output_continues_in_the_log(engine):
    container = engine.run("sh", "-c", COUNT)
    pid = state(engine, container)["Pid"]
    eventually(lambda: logs(engine, container))
    with killed(engine):
        time.sleep(0.3)
    assert state(engine, container)["Pid"] == pid
    assert state(engine, container)["Status"] == "running"
    seen = [int(line) for line in logs(engine, container).splitlines()]
    assert seen == list(range(len(seen)))
    assert len(seen) > 10
    eventually(lambda: len(logs(engine, container).splitlines()) > len(seen))


def test_attach_exec_stop_and_wait_work_as_before(engine):
    container = engine.run("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    reader = engine.run("cat", OpenStdin=True)
    with killed(engine):
        pass
    _, sock = engine.api.hijack(f"/containers/{reader}/attach?stream=1&stdin=1&stdout=1")
    with sock:
        sock.sendall(b"hello\n")
        data = b""
        while text_of(data, 1) != b"hello\n":
            data += sock.recv(4096)
    assert exec_output(engine, container, "echo", "there") == "there\n"
    began = time.monotonic()
    assert engine.api.post(f"/containers/{container}/stop").status == 204
    assert time.monotonic() - began < 5
    assert engine.wait(container) == 7
    assert state(engine, container)["ExitCode"] == 7


def test_a_terminal_is_found_again(engine):
    container = engine.run("sh", Tty=True, OpenStdin=True)
    with killed(engine):
        pass
    _, sock = engine.api.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1")
    with sock:
        assert engine.api.post(f"/containers/{container}/resize?h=33&w=77").status == 200
        sock.sendall(b"stty size; echo done\n")
        data = b""
        while b"done\r\n" not in data.replace(b"echo done\r\n", b""):
            data += sock.recv(4096)
    assert b"33 77" in data


def test_wait_tells_the_exit_code_of_what_ends_later(engine):
    container = engine.run("sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; exit 42")
    with killed(engine):
        pass
    exec_output(engine, container, "touch", "/go")
    assert engine.wait(container) == 42


def test_an_exit_meanwhile_is_recorded_with_code_and_time(engine):
    container = engine.run("sh", "-c", "sleep 0.3; echo last words; exit 42")
    with killed(engine):
        time.sleep(1.5)
        started = time.time()
    found = state(engine, container)
    assert (found["Status"], found["ExitCode"]) == ("exited", 42)
    assert found["Pid"] == 0
    assert nanoseconds(found["FinishedAt"]) <= started - 1
    assert engine.wait(container) == 42
    assert logs(engine, container) == "last words\n"
    deaths = [e for e in events(engine) if e["Action"] == "die" and e["Actor"]["ID"] == container]
    assert [e["Actor"]["Attributes"]["exitCode"] for e in deaths] == ["42"]


def events(engine):
    now = time.time() + 0.001
    body = engine.api.get(f"/events?since=1&until={now:.6f}").body
    return [json.loads(line) for line in body.splitlines()]


def test_a_paused_container_stays_paused(engine):
    container = engine.run("sh", "-c", COUNT)
    assert engine.api.post(f"/containers/{container}/pause").status == 204
    with killed(engine):
        pass
    assert state(engine, container)["Paused"]
    before = logs(engine, container)
    time.sleep(0.2)
    assert logs(engine, container) == before
    assert engine.api.post(f"/containers/{container}/unpause").status == 204
    eventually(lambda: logs(engine, container) != before)


def test_a_frozen_container_without_a_saved_pause_is_thawed(engine):
    # Frozen by a pause that was not acknowledged, or for a commit.
    container = engine.run("sleep", "1000")
    engine.kill()
    freezer = Path("/sys/fs/cgroup/freezer")
    name = f"{engine.config.cgroup_root.strip('/')}/{container}"
    if (freezer / name).is_dir():
        (freezer / name / "freezer.state").write_text("FROZEN")
    else:
        (Path("/sys/fs/cgroup") / name / "cgroup.freeze").write_text("1")
    engine.start()
    assert not state(engine, container)["Paused"]
    assert exec_output(engine, container, "echo", "there") == "there\n"


def test_auto_remove_is_done_at_the_next_start(engine):
    running = engine.run("sleep", "0.3", host={"AutoRemove": True})
    created = engine.create("true", host={"AutoRemove": True})
    volume = engine.run("sleep", "0.3", host={"AutoRemove": True}, Volumes={"/data": {}})
    (name,) = [m["Name"] for m in engine.inspect(volume)["Mounts"]]
    with killed(engine):
        time.sleep(0.8)
    assert gone(engine, running)
    assert gone(engine, volume)
    assert engine.api.get(f"/volumes/{name}").status == 404
    assert state(engine, created)["Status"] == "created"


def test_restart_policy_holds_over_a_crash(engine):
    policy = {"RestartPolicy": {"Name": "always"}}
    ended = engine.run("sleep", "0.5", host=policy)
    once = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    crashing = engine.run("sh", "-c", "sleep 0.5; exit 3", host=once)
    with killed(engine):
        time.sleep(1)
    eventually(lambda: state(engine, ended)["Running"])
    assert engine.inspect(ended)["RestartCount"] >= 1
    eventually(lambda: state(engine, crashing)["Status"] == "exited")
    assert engine.inspect(crashing)["RestartCount"] == 1
    assert state(engine, crashing)["ExitCode"] == 3


def test_stopped_containers_start_again_only_with_always(engine):
    always, unless, never, untouched = (
        engine.create("sleep", "1000", host={"RestartPolicy": {"Name": name}})
        for name in ("always", "unless-stopped", "no", "always")
    )
    for container in (always, unless, never):
        engine.api.post(f"/containers/{container}/start")
        assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
    with killed(engine):
        pass
    eventually(lambda: state(engine, always)["Running"])
    assert state(engine, unless)["Status"] == "exited"
    assert state(engine, never)["Status"] == "exited"
    assert state(engine, untouched)["Status"] == "created"


def test_sigterm_is_quick_and_leaves_containers_alone(engine):
    container = engine.run("sh", "-c", COUNT)
    waiting = engine.run("false", host={"RestartPolicy": {"Name": "always"}})
    pid = state(engine, container)["Pid"]
    eventually(lambda: engine.inspect(waiting)["RestartCount"] > 3)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 2.5
    time.sleep(0.2)
    engine.start()
    assert state(engine, container)["Pid"] == pid
    seen = [int(line) for line in logs(engine, container).splitlines()]
    assert seen == list(range(len(seen)))
    count = engine.inspect(waiting)["RestartCount"]
    eventually(lambda: engine.inspect(waiting)["RestartCount"] > count)


def test_a_container_whose_conmon_was_killed_is_killed(engine):
    for dead in (False, True):
        container = engine.run("sleep", "1000")
        (monitor,) = (
            m for m in find_monitors(engine.config.paths.bundles) if m.container == container
        )
        pid = state(engine, container)["Pid"]
        if dead:
            engine.kill()
        os.kill(monitor.pid, signal.SIGKILL)
        if dead:
            time.sleep(0.1)
            engine.start()
        becomes(engine, container, "exited")
        assert state(engine, container)["ExitCode"] == 255
        assert not processes.is_alive(pid)
        assert engine.api.post(f"/containers/{container}/start").status == 204
        assert state(engine, container)["Running"]


def test_a_process_that_calls_itself_conmon_is_not_believed(engine):
    """Neither the process nor the directory that it names is killed or removed at the start."""
    victim = engine.base / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    up = "../" * len(engine.config.paths.bundles.parts)
    container = engine.run("sleep", "1000")
    directory = f"{engine.config.paths.bundles}/{up}{victim.relative_to('/')}"
    recipe = (
        "cp /bin/busybox /tmp/conmon; exec -a sh /tmp/conmon -c 'echo on; sleep 1000; :'"
        f" --bundle={directory} --cid={container} --cuuid=evil"
    )
    created = engine.api.post(
        f"/containers/{container}/exec", {"Cmd": ["sh", "-c", recipe], "AttachStdout": True}
    )
    _, sock = engine.api.hijack(f"/exec/{created.json['Id']}/start", {"Detach": False})
    assert sock.recv(100)
    sock.close()
    before = processes_of(engine)
    with killed(engine):
        pass
    time.sleep(0.3)
    assert set(before) <= set(processes_of(engine))  # its sleep may have been started only now
    for pid in before:
        status = processes.status(pid)
        if status is not None and status.name == "conmon" and processes.cmdline(pid)[0] == "sh":
            os.kill(pid, signal.SIGKILL)
            break
    else:
        raise AssertionError("it does not run")
    time.sleep(0.5)
    assert (victim / "precious").read_text() == "kept"


def test_out_of_memory_meanwhile_is_reported(engine):
    container = engine.run(
        "sh", "-c", "sleep 0.5; dd if=/dev/zero of=/dev/null bs=200M count=1",
        host={"Memory": 16 << 20, "MemorySwap": 16 << 20},
    )  # fmt: skip
    with killed(engine):
        time.sleep(1.2)
    found = state(engine, container)
    assert found["Status"] == "exited"
    assert found["OOMKilled"]
    assert found["ExitCode"] == 137


# ---- the network -------------------------------------------------------------------


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def echo(sock, text):
    sock.sendall(text)
    data = b""
    while len(data) < len(text):
        got = sock.recv(4096)
        assert got, "the connection was closed"
        data += got
    assert data == text


def connected(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    sock.settimeout(5)
    return sock


def listens(port):
    try:
        with connected(port) as sock:
            echo(sock, b"?")
    except (OSError, AssertionError):
        return False
    return True


def test_published_ports_work_while_there_is_no_engine(engine):
    port = free_port()
    binding = {"80/tcp": [{"HostPort": str(port)}]}
    container = engine.run(
        "nc", "-ll", "-p", "80", "-e", "cat",
        host={"PortBindings": binding}, ExposedPorts={"80/tcp": {}},
    )  # fmt: skip
    eventually(lambda: listens(port))
    with connected(port) as old:
        echo(old, b"before")
        with killed(engine):
            echo(old, b"while it is dead")
            with connected(port) as new:
                echo(new, b"new ones, too")
        echo(old, b"after")
        with connected(port) as new:
            echo(new, b"after")
    # The port still belongs to the container: no other one gets it.
    other = engine.create(
        "true", host={"PortBindings": binding}, ExposedPorts={"80/tcp": {}}
    )  # fmt: skip
    answer = engine.api.post(f"/containers/{other}/start")
    assert answer.status == 500
    assert "port is already allocated" in answer.message
    engine.remove(container)
    assert engine.api.post(f"/containers/{other}/start").status == 204


def test_addresses_are_not_given_away_twice(engine):
    def address(container):
        networks = engine.inspect(container)["NetworkSettings"]["Networks"]
        return networks["bridge"]["IPAddress"]

    policy = {"RestartPolicy": {"Name": "always"}}
    ending = [engine.run("sleep", "0.4", host=policy) for _ in range(2)]
    staying = [engine.run("sleep", "1000") for _ in range(2)]
    kept = [address(c) for c in staying]
    with killed(engine):
        time.sleep(0.8)
    eventually(lambda: all(engine.inspect(c)["RestartCount"] for c in ending))
    new = [engine.run("sleep", "1000") for _ in range(4)]
    assert [address(c) for c in staying] == kept
    found = [address(c) for c in (*staying, *new)]
    assert len(set(found)) == len(found)


# ---- a reboot ----------------------------------------------------------------------


def test_after_a_reboot_everything_has_ended_and_policies_hold(engine):
    port = free_port()
    plain = engine.run("sleep", "1000")
    paused = engine.run("sleep", "1000")
    assert engine.api.post(f"/containers/{paused}/pause").status == 204
    temporary = engine.run("sleep", "1000", host={"AutoRemove": True})
    always = engine.run(
        "nc", "-ll", "-p", "80", "-e", "cat", ExposedPorts={"80/tcp": {}},
        host={
            "RestartPolicy": {"Name": "always"},
            "PortBindings": {"80/tcp": [{"HostPort": str(port)}]},
        },
    )  # fmt: skip
    network = engine.api.get("/networks/bridge").json
    reboot(engine)
    engine.start()
    for container in (plain, paused):
        found = state(engine, container)
        assert (found["Status"], found["ExitCode"], found["Paused"]) == ("exited", 255, False)
    assert gone(engine, temporary)
    eventually(lambda: state(engine, always)["Running"])
    eventually(lambda: listens(port))
    after = engine.api.get("/networks/bridge").json
    assert (after["Id"], after["IPAM"]) == (network["Id"], network["IPAM"])
    assert engine.api.post(f"/containers/{plain}/start").status == 204
    assert exec_output(engine, plain, "echo", "there") == "there\n"


def test_a_later_process_with_the_same_number_is_no_container(own_engine):
    """After a reboot, a process may have a container's pid, and even its start time."""
    container = own_engine.run("sleep", "1000")
    reboot(own_engine)
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        with sqlite3.connect(own_engine.data_root / "palan.db") as database:
            ((data,),) = database.execute("SELECT record FROM containers").fetchall()
            record = json.loads(data)
            same = {"pid": stranger.pid, "start_time": processes.start_time(stranger.pid)}
            record["process"] = record["monitor"] = same
            database.execute("UPDATE containers SET record = ?", (json.dumps(record).encode(),))
        own_engine.start()
        assert state(own_engine, container)["Status"] == "exited"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_without_its_database_an_engine_refuses_to_clear_away_what_it_had(own_engine):
    container = own_engine.run("sleep", "1000")
    own_engine.kill()
    database = own_engine.data_root / "palan.db"
    kept = {path: path.read_bytes() for path in own_engine.data_root.glob("palan.db*")}
    for path in kept:
        path.unlink()
    for make in (lambda: None, database.touch):
        make()
        with pytest.raises(AssertionError, match="is missing or empty"):
            own_engine.start()
        assert (own_engine.data_root / "containers" / container).is_dir()
    for path, data in kept.items():
        path.write_bytes(data)
    own_engine.start()
    assert state(own_engine, container)["Running"]
