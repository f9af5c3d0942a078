"""Several engines and other programs on one machine: an engine never touches foreign objects."""

import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.crash import assert_quiet_log, eventually, killed, processes_of, running
from tests.support.engine import Footprint, TestEngine


pytestmark = pytest.mark.root


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def serve(engine, text, port):
    """Run a container that sends a text on every connection."""
    return engine.run(
        "nc", "-ll", "-p", "80", "-e", "echo", text,
        host={"PortBindings": {"80/tcp": [{"HostPort": str(port)}]}},
        ExposedPorts={"80/tcp": {}},
    )  # fmt: skip


def said(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.settimeout(5)
            return sock.recv(100).decode().strip()
    except OSError:
        return ""


def reset(engine):
    return subprocess.run(
        [sys.executable, "-m", "palan", "system", "reset", "--yes",
         "--data-root", engine.data_root, "--exec-root", engine.exec_root],
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_two_engines_do_not_touch_each_other():
    one, two = free_port(), free_port()
    with running() as first, running() as second:
        mine, theirs = serve(first, "one", one), serve(second, "two", two)
        eventually(lambda: said(one) == "one")
        eventually(lambda: said(two) == "two")
        before = Footprint(second)
        pid = second.inspect(theirs)["State"]["Pid"]

        with killed(first):
            assert (said(one), said(two)) == ("one", "two")
        assert (said(one), said(two)) == ("one", "two")
        # A port that another engine's container publishes is in use.
        other = second.create(
            "true", host={"PortBindings": {"80/tcp": [{"HostPort": str(one)}]}},
            ExposedPorts={"80/tcp": {}},
        )  # fmt: skip
        answer = second.api.post(f"/containers/{other}/start")
        assert answer.status == 500
        assert "address already in use" in answer.message
        second.remove(other)

        first.remove(mine)
        eventually(lambda: not said(one))
        first.stop()
        assert reset(first).returncode == 0
        assert said(two) == "two"
        assert second.inspect(theirs)["State"]["Pid"] == pid
        eventually(lambda: Footprint(second) == before)
        assert_quiet_log(second)
        first.exec_root.mkdir(exist_ok=True)


def test_a_running_engine_keeps_a_second_one_from_its_roots():
    with running() as engine:
        assert engine.process is not None
        holder = engine.process.pid
        container = engine.run("sleep", "1000")
        pid = engine.inspect(container)["State"]["Pid"]
        elsewhere = engine.base / "elsewhere"
        for data_root, exec_root, what in (
            (engine.data_root, elsewhere, "data root"),
            (elsewhere, engine.exec_root, "exec root"),
        ):
            second = subprocess.run(
                [sys.executable, "-m", "palan", "serve", "--data-root", data_root,
                 "--exec-root", exec_root, "--pidfile=", "-H", f"unix://{engine.base}/s"],
                check=False, capture_output=True, text=True, timeout=20,
            )  # fmt: skip
            assert second.returncode == 1
            assert f"{what} " in second.stderr
            assert f"is in use by process {holder}" in second.stderr
        assert engine.inspect(container)["State"]["Pid"] == pid


def test_a_cgroup_parent_is_shared_with_strangers():
    parent, stranger = f"palan-strangers-{secrets.token_hex(4)}", secrets.token_hex(32)
    trees = [t for t in Path("/sys/fs/cgroup").iterdir() if (t / "cgroup.procs").exists()]
    foreign = [tree / parent / stranger for tree in trees]
    process = subprocess.Popen(["sleep", "1000"])
    try:
        for directory in foreign:
            with contextlib.suppress(OSError):
                directory.mkdir(parents=True)
        (Path("/sys/fs/cgroup/freezer") / parent / stranger / "cgroup.procs").write_text(
            str(process.pid)
        )
        with running(f"--cgroup-parent=/{parent}") as engine:
            container = engine.run("sleep", "1000")
            with killed(engine):
                pass
            assert process.poll() is None
            assert all(directory.is_dir() for directory in foreign)
            assert engine.inspect(container)["State"]["Running"]
        assert process.poll() is None
        ours = [d for tree in trees for d in (tree / parent).iterdir() if d.is_dir()]
        assert {d.name for d in ours} == {stranger}
    finally:
        process.kill()
        process.wait()
        for directory in foreign:
            for place in (directory, directory.parent):
                with contextlib.suppress(OSError):
                    place.rmdir()


def test_a_bridge_is_shared_with_strangers():
    name = f"pt{secrets.token_hex(3)}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    ip("link", "add", name, "type", "bridge")
    try:
        ip("address", "add", "10.213.7.1/24", "dev", name)
        ip("link", "set", name, "up")
        ip("link", "add", f"veth{name}", "type", "veth", "peer", "name", f"p{name}")
        ip("link", "set", f"veth{name}", "master", name)
        with running(f"--bridge={name}") as engine:
            container = engine.run("sleep", "1000")
            settings = engine.inspect(container)["NetworkSettings"]["Networks"]["bridge"]
            assert settings["IPAddress"].startswith("10.213.7.")
            with killed(engine):
                pass
            engine.remove(container)
            with killed(engine):
                pass
        shown = subprocess.run(
            ["ip", "-j", "link", "show", "master", name], check=True, capture_output=True
        ).stdout
        assert [link["ifname"] for link in json.loads(shown)] == [f"veth{name}"]
    finally:
        for link in (f"veth{name}", name):
            subprocess.run(["ip", "link", "delete", link], check=False)


def test_reset_leaves_nothing_of_a_crash_in_the_middle_of_everything():
    engine = TestEngine()
    engine.start()
    engine.load_image()
    marks = Footprint(engine)
    serve(engine, "hello", free_port())
    paused = engine.run("sleep", "1000", Volumes={"/data": {}})
    assert engine.api.post(f"/containers/{paused}/pause").status == 204
    engine.run("sh", "-c", "sleep 0.02; exit 1", host={"RestartPolicy": {"Name": "always"}})
    engine.create("true", host={"Binds": ["named:/data"]})
    network = engine.api.post("/networks/create", {"Name": "own"})
    if network.status == 201:
        engine.run("sleep", "1000", host={"NetworkMode": "own"})
    time.sleep(0.3)
    engine.kill()
    assert reset(engine).returncode == 0
    eventually(lambda: not processes_of(engine))
    engine.process = None
    # The socket is not below the engine's roots.
    engine.socket.unlink()
    left = Footprint(engine)
    assert (left.mounts, left.interfaces, left.cgroups, left.netns) == ([], [], [], [])
    assert (left.files, left.rules) == ([], [])
    assert not (set(left.processes) - set(marks.processes))
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    assert engine.config.bridge_name not in links
    assert not list(Path("/sys/fs/cgroup").glob(f"*{engine.config.cgroup_root}"))
    assert reset(engine).stdout.startswith("There is no engine at")
    shutil.rmtree(engine.base)
    with contextlib.suppress(FileNotFoundError):
        engine.exec_root.rmdir()


def test_a_clean_stop_without_containers_unmounts_the_exec_root():
    with running() as engine:
        engine.remove(engine.run("true"))
        engine.stop()
        assert str(engine.exec_root) not in Path("/proc/self/mountinfo").read_text()
        engine.start()
        engine.run("sleep", "1000")
        engine.stop()
        # Running containers need it.
        assert str(engine.exec_root) in Path("/proc/self/mountinfo").read_text()
        engine.start()
