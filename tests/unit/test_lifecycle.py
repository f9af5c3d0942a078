"""Start, end, restart and removal of a container, with fakes of the rooms."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from tests.support.containers import fake_context, make_container

from palan.api.containers import HostConfig
from palan.api.errors import Conflict, InternalError, NotModified
from palan.engine.containers import lifecycle
from palan.engine.containers.lifecycle import (
    cancel_restart,
    end,
    remove_stopped,
    resume_policy,
    start,
)
from palan.engine.containers.pipeline import Step
from palan.engine.containers.restart_policy import FIRST_DELAY
from palan.engine.paths import Paths
from palan.host.conmon import Exit
from palan.store.database import StoreFailure


def make(policy="no", *, auto_remove=False, **fields):
    host = HostConfig(network_mode="bridge", auto_remove=auto_remove)
    host.restart_policy.name = policy
    return make_container(1, host_config=host, **fields)


class Rooms:
    """Fakes of the other rooms, which record the calls that they receive."""

    def __init__(self):
        self.asked = []

    def room(self, name, **results):
        return _Room(self.asked, name, results)


_ASYNC = {"volumes.remove_anonymous", "images.release", "logs.end", "logs.remove"}


class _Room:
    def __init__(self, asked, name, results):
        self._asked, self._name, self._results = asked, name, results

    def __getattr__(self, operation):
        def ask(*_args, **_options):
            self._asked.append(f"{self._name}.{operation}")
            result = self._results.get(operation)
            if isinstance(result, BaseException):
                raise result
            return result

        async def ask_later(*args, **options):
            return ask(*args, **options)

        return ask_later if f"{self._name}.{operation}" in _ASYNC else ask


@pytest.fixture
def rooms():
    return Rooms()


@pytest.fixture(autouse=True)
def steps(monkeypatch, rooms):
    """Steps of a start that only remember being done; ``fails`` is raised by the second."""
    found = SimpleNamespace(fails=None, monitored=None)

    class First(Step):
        name = "first"

        async def do(self):
            rooms.asked.append("do first")

        async def undo(self):
            rooms.asked.append("undo first")

    class Second(Step):
        name = "second"

        def __init__(self, run):
            self.run = run

        async def do(self):
            rooms.asked.append("do second")
            if found.fails is not None:
                raise found.fails
            self.run.monitored, self.run.started = found.monitored, 7

        async def undo(self):
            rooms.asked.append("undo second")

    monkeypatch.setattr(lifecycle, "start_steps", lambda run: (First(), Second(run)))
    return found


class Monitored:
    """A process that ends when the test says so."""

    pid, start_time, monitor, monitor_start_time = 10, 1, 11, 1

    def __init__(self):
        self.ended = asyncio.get_running_loop().create_future()
        self.signals = []

    async def wait(self):
        return await self.ended

    def signal(self, number):
        self.signals.append(number)


@pytest.fixture
def context_of(tmp_path, rooms):
    """Makes the context of one container."""

    def make_context(container, **special):
        paths = Paths(tmp_path / "data", tmp_path / "exec")
        paths.prepare()
        paths.container(container.id).mkdir()
        names = ("images", "volumes", "networks", "exec", "logs")
        return fake_context(
            container,
            paths=paths,
            **{name: special.get(name) or rooms.room(name) for name in names},
        )

    return make_context


def actions(context):
    return [action for _, action, _, _ in context.events.seen]


# ---- start ----------------------------------------------------------------------


async def test_a_start_runs_its_steps_and_saves(context_of, rooms, steps):
    container = make(exit_code=3, error="old")
    context = context_of(container)
    steps.monitored = Monitored()
    await start(context, container)
    record = container.record
    assert rooms.asked[:2] == ["do first", "do second"]
    assert (record.status, record.started, record.error, record.exit_code) == ("running", 7, "", 0)
    assert record.process is not None
    assert record.process.pid == 10
    assert context.saved == ["running"]
    assert actions(context) == ["start"]
    assert not container.ended.is_set()
    for task in context.spawned:
        task.cancel()


async def test_a_start_that_fails_is_undone_and_says_why(context_of, rooms, steps):
    container = make("always", status="exited")
    context = context_of(container)
    steps.fails = Conflict("a port is taken")
    exited = container.exit
    with pytest.raises(Conflict, match="a port is taken"):
        await start(context, container)
    assert rooms.asked == ["do first", "do second", "undo second", "undo first"]
    assert (container.record.status, container.record.exit_code) == ("exited", 128)
    assert container.record.error == "a port is taken"
    assert context.saved == ["exited"]
    assert await exited == 128
    assert actions(context) == []


async def test_a_refusal_of_the_kernel_is_an_internal_error(context_of, steps):
    container = make()
    context = context_of(container)
    steps.fails = OSError("No space left on device")
    with pytest.raises(InternalError, match="unable to start container: No space left"):
        await start(context, container)


async def test_one_that_is_to_go_at_its_end_goes_when_it_cannot_start(context_of, steps):
    container = make(auto_remove=True)
    context = context_of(container)
    steps.fails = Conflict("no")
    with pytest.raises(Conflict, match="no"):
        await start(context, container)
    assert container.removed
    assert context.deleted == [container.id]


async def test_a_container_that_cannot_be_saved_is_killed(context_of, steps):
    container = make()
    context = context_of(container)
    steps.monitored = monitored = Monitored()

    async def save(_container):
        raise StoreFailure("disk full")

    context.save = save
    with pytest.raises(StoreFailure):
        await start(context, container)
    assert monitored.signals == [9]
    assert container.record.stopped_by_user
    for task in context.spawned:
        task.cancel()


@pytest.mark.parametrize(
    ("status", "error"),
    [("running", NotModified), ("paused", Conflict), ("removing", Conflict), ("dead", Conflict)],
)
async def test_containers_that_cannot_be_started(context_of, rooms, status, error):
    container = make(status=status)
    context = context_of(container)
    with pytest.raises(error):
        await start(context, container)
    assert rooms.asked == []


# ---- end ------------------------------------------------------------------------


def exited(code=0, **fields):
    return Exit(code=code, time=100, **fields)


async def test_an_end_undoes_the_start_and_is_published(context_of, rooms):
    container = make(status="running", started=50)
    context = context_of(container)
    (context.paths.exits / container.id).write_text("3")
    waiting = container.exit
    await end(context, container, exited(3, oom=True))
    assert rooms.asked[:2] == ["undo second", "undo first"]
    assert (container.record.status, container.record.exit_code) == ("exited", 3)
    assert actions(context) == ["oom", "die"]
    assert context.saved == ["exited"]
    assert await waiting == 3
    assert container.ended.is_set()
    assert not (context.paths.exits / container.id).exists()
    assert not container.removed


async def test_an_exit_code_that_was_not_written_is_logged(context_of):
    container = make(status="running")
    context = context_of(container)
    await end(context, container, exited(7, lost=True, problem="exits: No space left on device"))
    assert container.record.exit_code == 7
    assert context.log.warnings == [
        (
            "no exit code was written",
            {
                "container": container.id,
                "code": 7,
                "reason": "exits: No space left on device",
            },
        )
    ]


async def test_an_end_that_cannot_be_saved_is_reported_with_its_code(context_of):
    container = make(status="running")
    context = context_of(container)
    (context.paths.exits / container.id).write_text("3")

    async def save(_container):
        raise StoreFailure("disk full")

    context.save = save
    waiting = container.exit
    await end(context, container, exited(3))
    assert await waiting == 3
    assert (context.paths.exits / container.id).exists()
    assert context.log.warnings[0][0] == "the end of a container is not saved"


async def test_an_end_removes_a_container_that_is_to_go(context_of, rooms):
    container = make(status="running", auto_remove=True, anonymous_volumes=["v"])
    context = context_of(container)
    removal = container.removal
    await end(context, container, exited(3))
    assert await removal == 3
    assert container.removed
    assert "volumes.remove_anonymous" in rooms.asked
    assert actions(context) == ["die", "destroy"]


async def test_a_container_that_a_client_restarts_is_not_removed(context_of):
    container = make(status="running", auto_remove=True)
    context = context_of(container)
    container.restarting = 1
    await end(context, container, exited())
    assert not container.removed


# ---- restart --------------------------------------------------------------------


@pytest.fixture
def restarts(monkeypatch):
    """The starts by policy, which do not happen."""
    found = []

    async def note(_context, container, *, by_policy):
        found.append((container.id, by_policy))

    monkeypatch.setattr(lifecycle, "start", note)
    return found


async def test_a_policy_starts_a_container_again(context_of, restarts, monkeypatch):
    monkeypatch.setattr(lifecycle, "delays", lambda _scheduled, _lasted: (0.0, 0.2))
    container = make("always", status="running")
    context = context_of(container)
    await end(context, container, exited(1))
    assert (container.record.status, container.record.restart_count) == ("restarting", 1)
    assert restarts == []
    await asyncio.gather(*context.spawned)
    assert restarts == [(container.id, True)]
    assert container.restart_delay == 0.2


async def test_the_running_time_is_right_although_the_clock_was_set_back(
    context_of, restarts, monkeypatch
):
    lasted = []

    def note(_scheduled, time):
        lasted.append(time)
        return 0.0, 0.2

    monkeypatch.setattr(lifecycle, "delays", note)
    container = make("always", status="running", started=500)
    context = context_of(container)
    container.ran = 77
    await end(context, container, exited())
    assert lasted == [77]
    assert container.record.finished == 500
    await asyncio.gather(*context.spawned)
    assert restarts


async def test_unwanted_restarts_are_not_scheduled(context_of):
    container = make("always", status="running", stopped_by_user=True)
    container.restart_delay = 5.0
    context = context_of(container)
    await end(context, container, exited())
    assert context.spawned == []
    assert container.restart_delay == 0
    assert container.record.status == "exited"


async def test_an_engine_that_stops_starts_nothing_more(context_of, restarts):
    container = make("always", status="running")
    context = context_of(container)
    container.restart_delay = 30.0
    await end(context, container, exited())
    await asyncio.sleep(0)
    context.stopping.set()
    await asyncio.wait_for(asyncio.gather(*context.spawned), 5)
    assert restarts == []


async def test_a_restart_that_fails_is_logged(context_of, monkeypatch):
    async def fail(*_args, **_options):
        raise InternalError("no")

    monkeypatch.setattr(lifecycle, "start", fail)
    container = make("always", status="restarting")
    context = context_of(container)
    await resume_policy(context, container)
    await asyncio.gather(*context.spawned)
    assert context.log.warnings == [("restart failed", {"container": container.id, "reason": "no"})]


async def test_cancelling_a_restart_ends_the_waiting_once(context_of):
    container = make(status="restarting", exit_code=7)
    context = context_of(container)
    waiting = container.exit
    assert await cancel_restart(context, container)
    assert (container.record.status, container.record.stopped_by_user) == ("exited", True)
    assert context.saved == ["exited"]
    assert await waiting == 7
    assert not container.exit.done()
    assert not await cancel_restart(context, container)


@pytest.mark.parametrize(
    ("policy", "fields", "resumes"),
    [
        ("always", {"status": "exited", "started": 1, "stopped_by_user": True}, True),
        ("unless-stopped", {"status": "exited", "started": 1, "stopped_by_user": True}, False),
        ("on-failure", {"status": "restarting", "started": 1, "exit_code": 1}, True),
        ("always", {"status": "running", "started": 1}, False),
    ],
)
async def test_containers_that_a_start_of_the_engine_starts(
    context_of, restarts, policy, fields, resumes
):
    container = make(policy, **fields)
    context = context_of(container)
    await resume_policy(context, container)
    await asyncio.gather(*context.spawned)
    assert bool(restarts) is resumes
    if resumes:
        assert container.record.status == "restarting"
        assert container.restart_delay == FIRST_DELAY


# ---- removal --------------------------------------------------------------------


async def test_a_removal_is_saved_first_and_deletes_the_row_last(context_of, rooms):
    container = make(status="exited", exit_code=3, anonymous_volumes=["v"])
    context = context_of(container)
    exit_, removal = container.exit, container.removal
    await remove_stopped(context, container, volumes=True)
    assert context.saved == ["removing"]
    assert rooms.asked == [
        "logs.remove",
        "volumes.release",
        "volumes.remove_anonymous",
        "images.release",
        "exec.discard",
    ]
    assert not context.paths.container(container.id).exists()
    assert list(context.paths.tmp.iterdir()) == []
    assert context.deleted == [container.id]
    assert context.registry.find(container.id) is None
    assert await exit_ == await removal == 3


async def test_volumes_stay_unless_asked_for(context_of, rooms):
    container = make(status="exited", anonymous_volumes=["v"])
    context = context_of(container)
    await remove_stopped(context, container, volumes=False)
    assert "volumes.remove_anonymous" not in rooms.asked


async def test_a_removal_that_fails_leaves_a_dead_container(context_of, monkeypatch):
    def busy(*_args):
        raise OSError("device or resource busy")

    monkeypatch.setattr(lifecycle, "_remove_files", busy)
    container = make(status="exited")
    context = context_of(container)
    removal = container.removal
    with pytest.raises(InternalError, match="unable to remove filesystem: device or resource busy"):
        await remove_stopped(context, container, volumes=False)
    assert container.record.status == "dead"
    assert context.saved == ["removing", "dead"]
    assert context.registry.find(container.id) is container
    with pytest.raises(InternalError):
        await removal
    # It can be tried again.
    monkeypatch.undo()
    await remove_stopped(context, container, volumes=False)
    assert container.removed


async def test_failures_of_other_rooms_do_not_prevent_a_removal(context_of, rooms):
    container = make(status="exited", anonymous_volumes=["v"])
    context = context_of(
        container,
        volumes=rooms.room("volumes", remove_anonymous=OSError("busy")),
        images=rooms.room("images", release=InternalError("no")),
    )
    await remove_stopped(context, container, volumes=True)
    assert container.removed
    assert [text for text, _ in context.log.warnings] == ["volume stays", "image stays"]


async def test_a_full_disk_does_not_keep_a_container(context_of):
    container = make(status="exited")
    context = context_of(container)

    async def save(_container):
        raise StoreFailure("disk full")

    context.save = save
    with suppress(StoreFailure):
        await remove_stopped(context, container, volumes=True)
    assert container.removed
