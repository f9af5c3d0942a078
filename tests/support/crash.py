"""Helpers for tests of crashes: killing an engine, and checking that nothing is left."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.engine import Footprint, TestEngine
from tests.support.http import read_all, text_of

from palan.host import conmon, mounts


@contextlib.contextmanager
def running(*flags: str) -> Iterator[TestEngine]:
    """Yield an engine with the test image, and check at the end that nothing of it is left."""
    engine = TestEngine(*flags)
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        engine.close()


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition holds; the kernel does some of its work asynchronously."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def baseline(engine: TestEngine) -> Footprint:
    """Return the footprint of the engine without containers."""
    # The first container creates things that stay for all others, such as the parent cgroup.
    engine.remove(engine.run("true"))
    eventually(lambda: not Footprint(engine).interfaces)
    return Footprint(engine)


def settled_footprint(engine: TestEngine) -> Footprint:
    """Return the footprint once it no longer changes."""
    before, now = None, Footprint(engine)
    while now != before:
        time.sleep(0.1)
        before, now = now, Footprint(engine)
    return now


def assert_same_footprint(engine: TestEngine, before: Footprint, seconds: float = 5) -> None:
    """Check that the machine is as before; interfaces and cgroups disappear a moment later."""
    deadline = time.monotonic() + seconds
    while (now := Footprint(engine)) != before:
        assert time.monotonic() < deadline, _changes(before, now)
        time.sleep(0.05)


def _changes(before: Footprint, now: Footprint) -> str:
    lines = []
    for kind, (old, new) in before.difference(now).items():
        lines += [f"{kind} - {item}" for item in old if item not in new][:20]
        lines += [f"{kind} + {item}" for item in new if item not in old][:20]
    return "\n".join(lines)


def assert_quiet_log(engine: TestEngine) -> None:
    """Check that the engine has logged no unexpected errors."""
    text = engine.log.read_text()
    for word in ("Traceback", "background work failed", "request failed", "level=error"):
        assert word not in text, text[max(0, text.index(word) - 500) : text.index(word) + 3000]


@contextlib.contextmanager
def killed(engine: TestEngine) -> Iterator[None]:
    """Kill the engine, and start it again at the end."""
    engine.kill()
    yield
    engine.start()


def logs(engine: TestEngine, container: str) -> str:
    """Return the text that a container without a terminal wrote to stdout."""
    data = engine.api.get(f"/containers/{container}/logs?stdout=1").body
    return text_of(data, 1).decode()


def exec_output(engine: TestEngine, container: str, *command: str) -> str:
    """Run a command in a container, and return its output."""
    body = {"Cmd": list(command), "AttachStdout": True}
    created = engine.api.post(f"/containers/{container}/exec", body)
    assert created.status == 201, created.body
    _, sock = engine.api.hijack(f"/exec/{created.json['Id']}/start", {"Detach": False})
    return text_of(read_all(sock), 1).decode()


def processes_of(engine: TestEngine) -> list[int]:
    """Return the pids of the containers' processes and of their conmons."""
    monitors = [found.pid for found in conmon.find_monitors(engine.config.paths.bundles)]
    members = set(monitors)
    for tree in Path("/sys/fs/cgroup").iterdir():
        for procs in tree.glob(engine.config.cgroup_root.lstrip("/") + "/**/cgroup.procs"):
            with contextlib.suppress(OSError):
                members.update(map(int, procs.read_text().split()))
    return sorted(members - {0})


def reboot(engine: TestEngine) -> None:
    """Simulate a power cut, as far as the engine can see it."""
    engine.kill()
    # Conmons first, so that none of them can record its container's exit code.
    for monitor in conmon.find_monitors(engine.config.paths.bundles):
        os.kill(monitor.pid, signal.SIGKILL)
    for pid in processes_of(engine):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for tree in Path("/sys/fs/cgroup").iterdir():
        for state in tree.glob(engine.config.cgroup_root.lstrip("/") + "/*/freezer.state"):
            state.write_text("THAWED")
    eventually(lambda: not processes_of(engine))
    mounts.unmount_below(engine.exec_root)
    shutil.rmtree(engine.exec_root)
    engine.exec_root.mkdir()
    for tree in Path("/sys/fs/cgroup").iterdir():
        top = tree / engine.config.cgroup_root.lstrip("/")
        for directory in [*sorted(top.rglob("*"), reverse=True), top]:
            if directory.is_dir():
                directory.rmdir()
    config = engine.config
    for command in (
        ["ip", "link", "delete", config.bridge_name],
        ["nft", "delete", "table", "inet", config.table_name],
    ):
        subprocess.run(command, check=True)
