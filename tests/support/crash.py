"""What the tests of crashes share: killing an engine, and seeing that nothing is left."""

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
    """An engine with the test image, of which nothing is left in the end."""
    engine = TestEngine(*flags)
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        engine.close()


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something is so; what the kernel does behind our backs takes a moment."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def baseline(engine: TestEngine) -> Footprint:
    """What the engine has of the machine when it has no containers."""
    # The first container makes what stays for all others, such as the parent cgroup.
    engine.remove(engine.run("true"))
    eventually(lambda: not Footprint(engine).interfaces)
    return Footprint(engine)


def settled_footprint(engine: TestEngine) -> Footprint:
    """The footprint once nothing of what was before is still going away."""
    before, now = None, Footprint(engine)
    while now != before:
        time.sleep(0.1)
        before, now = now, Footprint(engine)
    return now


def assert_same_footprint(engine: TestEngine, before: Footprint, seconds: float = 5) -> None:
    """See that the machine is as it was; interfaces and cgroups go a moment later."""
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
    """See that the engine has met nothing that it did not expect."""
    text = engine.log.read_text()
    for word in ("Traceback", "background work failed", "request failed", "level=error"):
        assert word not in text, text[max(0, text.index(word) - 500) : text.index(word) + 3000]


@contextlib.contextmanager
def killed(engine: TestEngine) -> Iterator[None]:
    """Have the engine dead for a while."""
    engine.kill()
    yield
    engine.start()


def logs(engine: TestEngine, container: str) -> str:
    """What a container without a terminal wrote to stdout."""
    data = engine.api.get(f"/containers/{container}/logs?stdout=1").body
    return text_of(data, 1).decode()


def exec_output(engine: TestEngine, container: str, *command: str) -> str:
    """What a command writes that is run in a container."""
    body = {"Cmd": list(command), "AttachStdout": True}
    created = engine.api.post(f"/containers/{container}/exec", body)
    assert created.status == 201, created.body
    _, sock = engine.api.hijack(f"/exec/{created.json['Id']}/start", {"Detach": False})
    return text_of(read_all(sock), 1).decode()


def processes_of(engine: TestEngine) -> list[int]:
    """Every process of the engine's containers, and their conmons."""
    monitors = [found.pid for found in conmon.find_monitors(engine.config.paths.bundles)]
    members = set(monitors)
    for tree in Path("/sys/fs/cgroup").iterdir():
        for procs in tree.glob(engine.config.cgroup_root.lstrip("/") + "/**/cgroup.procs"):
            with contextlib.suppress(OSError):
                members.update(map(int, procs.read_text().split()))
    return sorted(members - {0})


def reboot(engine: TestEngine) -> None:
    """Do to the machine what a power cut does, as far as the engine can tell."""
    engine.kill()
    # Conmons first, so that none is left to write down how its container ended.
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
