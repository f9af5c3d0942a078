"""Execs with fakes of a container and of the runtimes: no process is started."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.support.conmon import FakeConmon
from tests.support.containers import FakeEvents

from palan.api.errors import Conflict, InternalError, InvalidParameter, NotFound
from palan.api.exec import (
    ExecConfig,
    ExecCreate,
    ExecInspect,
    ExecResize,
    ExecStart,
    ExecStartConfig,
)
from palan.engine.exec import Execs, context
from palan.host import processes
from palan.host.conmon import ExecPlan
from palan.host.monitored import Exit


ID = "c" * 64


class FakeTarget:
    """A container that runs, with this process as its first one."""

    def __init__(self) -> None:
        self.id, self.name = ID, "web"
        self.attributes = {"name": "web"}
        self.lock = asyncio.Lock()
        self.running, self.paused, self.ending = True, False, False
        pid = os.getpid()
        self.process = SimpleNamespace(pid=pid, start_time=processes.start_time(pid))
        self.runtime, self.hostname = "crun", "box"
        self.users: dict[str, Any] = {
            "": SimpleNamespace(uid=0, gid=0, groups=(0,), home="/root"),
            "app": SimpleNamespace(uid=7, gid=8, groups=(8, 9), home="/app"),
        }

    def environment(self) -> list[str]:
        return ["LINK=1", "OWN=2"]

    def user(self, name: str) -> Any:
        try:
            return self.users[name]
        except KeyError:
            raise InvalidParameter(f"unable to find user {name}") from None

    async def wait(self) -> None:
        self.running = False


class FakeProcess:
    """A started process, as :class:`palan.host.monitored.Monitored`."""

    pid = 4711

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[int] = []
        self.conmon = FakeConmon(directory)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.ended)

    def end(self, code: int) -> None:
        self.conmon.close()
        if not self.ended.done():
            self.ended.set_result(Exit(code, 1))

    def resize(self, height: int, width: int) -> None:
        self.sizes.append((height, width))

    def signal(self, number: int) -> None:
        self.signals.append(number)
        self.end(128 + number)

    def release(self) -> None:
        self.ended.cancel()


class Room:
    """Execs, and a fake of everything around them."""

    def __init__(self, root: Path) -> None:
        self.target = FakeTarget()
        self.events = FakeEvents()
        self.bundle = root
        (root / "execs").mkdir()
        spec = {
            "hostname": "inside",
            "process": {"cwd": "/srv", "user": {"uid": 0, "gid": 0}, "terminal": False},
        }
        (root / "config.json").write_bytes(msgspec.json.encode(spec))
        self.plans: list[ExecPlan] = []
        self.processes: list[FakeProcess] = []
        self.started = asyncio.Event()
        self.failure: Exception | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        surroundings: Any = SimpleNamespace(
            containers=self,
            runtimes=self,
            machine=SimpleNamespace(host=SimpleNamespace(bounding=frozenset({"CAP_KILL"}))),
            paths=SimpleNamespace(bundle=lambda _: root),
            events=self.events,
            spawn=self._spawn,
        )
        self.execs = Execs(surroundings)

    def _spawn(self, work: Any, **_: bool) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    def exec_target(self, reference: str) -> FakeTarget:
        if not ID.startswith(reference) and reference != "web":
            raise NotFound(f"No such container: {reference}")
        return self.target

    def get(self, name: str) -> Any:
        return SimpleNamespace(name=name)

    async def exec(
        self, _runtime: Any, plan: ExecPlan, _program: str, ready: Callable[[], Awaitable[None]]
    ) -> FakeProcess:
        self.plans.append(plan)
        if self.failure is not None:
            raise self.failure
        plan.directory.mkdir(exist_ok=True)
        process = FakeProcess(plan.directory)
        self.processes.append(process)
        await ready()
        self.started.set()
        return process

    async def create(self, *cmd: str, **fields: Any) -> str:
        body = ExecConfig(cmd=list(cmd), **fields)
        return (await self.execs.create(ExecCreate(id="web", body=body))).id

    async def start(self, exec_id: str, *, detach: bool = True, **fields: Any) -> Any:
        body = ExecStartConfig(detach=detach, **fields)
        return await self.execs.start(ExecStart(id=exec_id, body=body))

    async def inspect(self, exec_id: str) -> Any:
        return await self.execs.inspect(ExecInspect(id=exec_id))

    def actions(self) -> list[str]:
        return [action for _, action, _, _ in self.events.seen]

    async def settle(self) -> None:
        await asyncio.gather(*self.tasks)


@pytest.fixture
async def room(tmp_path):
    made = Room(tmp_path)
    yield made
    for process in made.processes:
        process.end(0)
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_an_exec_is_created_started_and_ends(room):
    created = await room.create("cat", "/x", user="app", env=["MORE=3"], working_dir="/tmp")
    shown = await room.inspect(created)
    assert (shown.running, shown.exit_code, shown.pid) == (False, None, 0)
    assert room.execs.unfinished(ID) == [created]
    await room.start(created)
    shown = await room.inspect(created)
    assert (shown.running, shown.pid, shown.container_id) == (True, 4711, ID)
    (plan,) = room.plans
    assert plan.directory == room.bundle / "execs" / created
    assert plan.process["args"] == ["cat", "/x"]
    assert plan.process["cwd"] == "/tmp"
    assert plan.process["user"] == {"uid": 7, "gid": 8, "additionalGids": [8, 9]}
    assert {"LINK=1", "OWN=2", "MORE=3", "HOME=/app", "HOSTNAME=inside"} <= set(plan.process["env"])
    room.processes[0].end(3)
    await room.settle()
    shown = await room.inspect(created)
    assert (shown.running, shown.exit_code) == (False, 3)
    assert room.execs.unfinished(ID) == []
    assert not plan.directory.exists()
    assert room.actions() == ["exec_create: cat /x", "exec_start: cat /x", "exec_die"]
    assert room.events.seen[-1][3] == {"name": "web", "execID": created, "exitCode": "3"}


async def test_only_once(room):
    created = await room.create("true")
    await room.start(created)
    with pytest.raises(Conflict, match="is already running"):
        await room.start(created)
    room.processes[0].end(0)
    await room.settle()
    with pytest.raises(Conflict, match="has already run"):
        await room.start(created)
    session = await room.start(created, detach=False, tty=True)
    assert b"has already run\r\n" in b"".join([chunk async for chunk in session.output()])


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"cmd": []}, InvalidParameter, "No exec command specified"),
        ({"cmd": ["a\0"]}, InvalidParameter, "NUL"),
        ({"cmd": ["a"], "env": ["=x"]}, InvalidParameter, "invalid environment variable: =x"),
        ({"cmd": ["a"], "user": "ghost"}, InvalidParameter, "unable to find user ghost"),
        ({"cmd": ["a"], "detach_keys": "ctrl-"}, InvalidParameter, "escape keys"),
    ],
)
async def test_invalid_requests(room, fields, error, message):
    with pytest.raises(error, match=message):
        await room.execs.create(ExecCreate(id="web", body=ExecConfig(**fields)))
    assert room.execs.unfinished(ID) == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("paused", True, f"Container (web|{ID}) is paused, unpause the container before exec"),
        ("running", False, f"container {ID} is not running"),
        ("ending", True, f"container {ID} is not running"),
    ],
)
async def test_the_container_must_run(room, field, value, message):
    created = await room.create("true")
    setattr(room.target, field, value)
    with pytest.raises(Conflict, match=message):
        await room.create("true")
    with pytest.raises(Conflict, match=message):
        await room.start(created)


async def test_a_failure_is_the_callers_or_of_a_container_that_ends(room, monkeypatch):
    room.failure = InvalidParameter("exec failed: no such file")
    created = await room.create("missing")
    with pytest.raises(InvalidParameter, match="no such file"):
        await room.start(created)
    shown = await room.inspect(created)
    assert (shown.running, shown.exit_code) == (False, 126)
    room.failure = InternalError("no space left on device")
    created = await room.create("true")
    with pytest.raises(InternalError, match="no space left"):  # at once
        await room.start(created)
    room.failure = OSError(28, "No space left on device", "process.json")
    created = await room.create("true")
    with pytest.raises(InternalError, match=r"unable to start exec: .*No space left on device"):
        await room.start(created)
    monkeypatch.setattr(processes, "is_ending", lambda _: True)
    room.failure = InternalError("crun: the container is gone")
    created = await room.create("true")
    with pytest.raises(Conflict, match="is not running"):
        await room.start(created)
    assert not list((room.bundle / "execs").iterdir())


async def test_attached_the_process_starts_with_the_output(room):
    created = await room.create("cat", attach_stdin=True, attach_stdout=True)
    session = await room.start(created, detach=False, tty=True)
    assert room.plans == []

    async def converse() -> bytes:
        return b"".join([chunk async for chunk in session.output()])

    output = asyncio.ensure_future(converse())
    await room.started.wait()
    client = room.processes[0].conmon.accept()
    await session.write(b"hello")
    assert client.recv(100) == b"hello"
    client.send(b"\x02hello")
    room.processes[0].end(0)
    assert await output == b"hello"
    await session.close()


async def test_attached_an_error_is_shown_on_the_stream(room):
    room.failure = InvalidParameter("exec failed: no such file")
    created = await room.create("missing", attach_stdout=True)
    session = await room.start(created, detach=False, tty=True)
    assert b"".join([chunk async for chunk in session.output()]) == b"exec failed: no such file\r\n"


async def test_resize(room):
    created = await room.create("top", tty=True)
    resize = ExecResize(id=created, h=20, w=30)
    with pytest.raises(NotFound):
        await room.execs.resize(resize)
    await room.start(created)
    await room.execs.resize(resize)
    assert room.processes[0].sizes == [(20, 30)]
    room.target.running = False
    with pytest.raises(Conflict, match=f"container {ID} is not running"):
        await room.execs.resize(resize)


async def test_execs_of_a_container_that_ends_are_discarded(room):
    started, unstarted = await room.create("true"), await room.create("true")
    await room.start(started)
    room.execs.discard_unstarted(ID)
    await room.inspect(started)
    with pytest.raises(NotFound, match=f"No such exec instance: {unstarted}"):
        await room.inspect(unstarted)
    room.execs.discard(ID)
    with pytest.raises(NotFound):
        await room.inspect(started)


async def test_an_ended_exec_is_discarded_in_the_end(room, monkeypatch):
    monkeypatch.setattr(context, "KEPT", 0.0)
    created = await room.create("true")
    await room.start(created)
    room.processes[0].end(0)
    await room.settle()
    await room.inspect(created)
    await room.create("true")
    with pytest.raises(NotFound):
        await room.inspect(created)


async def test_a_health_check_has_output_and_a_code(room):
    check = asyncio.ensure_future(room.execs.probe(ID, ["check"], timeout_ns=10**10, max_output=5))
    await room.started.wait()
    assert (room.plans[0].directory / "probe").exists()
    room.processes[0].conmon.accept().send(b"\x02all is well")
    room.processes[0].end(1)
    assert await check == (1, "all i...")
    assert room.execs.unfinished(ID) == []


async def test_a_health_check_that_takes_too_long_is_killed(room):
    code, output = await room.execs.probe(ID, ["sleep"], timeout_ns=10**7, max_output=100)
    assert (code, output) == (-1, "Health check exceeded timeout (10ms)")
    assert room.processes[0].signals == [9]


async def test_a_health_check_that_can_t_be_run_says_why(room):
    room.failure = InvalidParameter("no such file")
    result = await room.execs.probe(ID, ["missing"], timeout_ns=10**9, max_output=100)
    assert result == (-1, "no such file")


async def test_directories_of_an_earlier_engine_are_removed(room):
    left = room.bundle / "execs" / ("a" * 64)
    left.mkdir()
    room.execs.adopt(ID, [])
    await room.settle()
    assert not left.exists()
