"""The steps of a start, with fakes of the rooms: each failure undoes the completed steps."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.support.containers import FakeLog, fake_context, make_container

from palan.api.errors import InternalError
from palan.engine.containers import start_steps as steps
from palan.engine.containers.pipeline import do_steps, undo_steps
from palan.engine.containers.record import MountRecord
from palan.engine.containers.start_steps import Run, WriteFiles, start_steps
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.paths import Paths


SANDBOX = SandboxRecord(id="s" * 64, path="/run/netns/s")


class Machine:
    """All rooms in one; records the operations, and fails where a test wants it."""

    def __init__(self):
        self.seen = []
        self.failing = ""

    def happens(self, what):
        self.seen.append(what)
        if what == self.failing:
            raise InternalError(f"{what} failed")

    # ---- logs, volumes, networks

    async def connect(self, _container, *, by_policy):
        self.happens(f"connect log, by_policy={by_policy}")

    async def disconnect(self, _container):
        self.happens("disconnect log")

    async def mount(self, name, _holder):
        self.happens("mount volume")
        return f"/volumes/{name}"

    async def unmount(self, _name, _holder):
        self.happens("unmount volume")
        return True

    async def create_sandbox(self, _member):
        await asyncio.sleep(0.001)
        self.happens("create sandbox")
        return SANDBOX

    async def remove_sandbox(self, _member, sandbox):
        assert sandbox is SANDBOX
        self.happens("remove sandbox")

    # ---- runtimes

    def get(self, _name):
        self.happens("get runtime")
        return self

    def find(self, _name):
        return self

    def expect_moves(self):
        self.happens("expect move")

    async def create(self, _runtime, _plan, _program):
        self.happens("create process")
        return SimpleNamespace(directory="/bundle")

    async def start(self, _container_id):
        self.happens("start process")

    async def delete(self, _container_id, *, force):
        self.happens(f"delete process, force={force}")


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(steps, "mount_root", lambda *_: made.happens("mount root"))
    monkeypatch.setattr(steps, "unmount_root", lambda *_: made.happens("unmount root"))
    monkeypatch.setattr(WriteFiles, "_write", lambda _self: made.happens("write files"))
    return made


@pytest.fixture
async def run(machine, tmp_path, monkeypatch):
    mount = MountRecord(kind="volume", destination="/data", volume="data")
    container = make_container(1, mounts=[mount])

    async def opened(_directory):
        machine.happens("open streams")

    monkeypatch.setattr(container.streams, "opened", opened)
    rooms = dict.fromkeys(("logs", "volumes", "networks", "runtimes"), machine)
    return Run(
        fake_context(container, paths=Paths(tmp_path / "data", tmp_path / "exec"), **rooms),
        container,
    )


UNDO_LOG = ["disconnect log"]
UNDO_VOLUMES = ["unmount volume", *UNDO_LOG]
UNDO_ROOT = ["unmount root", *UNDO_VOLUMES]
UNDO_NETWORK = ["remove sandbox", *UNDO_ROOT]
UNDO_ALL = ["delete process, force=True", *UNDO_NETWORK]


async def test_a_start_does_its_steps_in_order(machine, run):
    await do_steps(start_steps(run), FakeLog())
    machine.seen = [what for what in machine.seen if what != "get runtime"]
    assert machine.seen[:3] == ["connect log, by_policy=False", "mount volume", "expect move"]
    assert set(machine.seen[3:5]) == {"mount root", "create sandbox"}
    assert machine.seen[5:] == ["write files", "create process", "open streams", "start process"]
    assert run.sandbox is SANDBOX
    assert run.monitored is not None
    assert run.started > 0
    assert run.container.record.mounts[0].source == "/volumes/data"


@pytest.mark.parametrize(
    ("failing", "undone"),
    [
        ("get runtime", []),
        ("connect log, by_policy=False", UNDO_LOG),
        ("mount volume", UNDO_VOLUMES),
        ("mount root", UNDO_NETWORK),
        ("create sandbox", UNDO_ROOT),
        ("write files", UNDO_NETWORK),
        ("create process", UNDO_ALL),
        ("open streams", UNDO_ALL),
        ("start process", UNDO_ALL),
    ],
)
async def test_a_failure_undoes_what_was_begun_in_reverse(machine, run, failing, undone):
    machine.failing = failing
    with pytest.raises(InternalError, match=failing):
        await do_steps(start_steps(run), FakeLog())
    assert undone == [what for what in machine.seen if what in UNDO_ALL]


async def test_an_end_undoes_a_start_of_another_engine(machine, run):
    run.sandbox, run.force = SANDBOX, False
    await undo_steps(start_steps(run), FakeLog())
    assert machine.seen == ["delete process, force=False", *UNDO_NETWORK]
    (event,) = run.context.events.seen
    assert event[:3] == ("volume", "unmount", "data")


async def test_a_container_without_a_network_of_its_own_removes_none(machine, run):
    await undo_steps(start_steps(run), FakeLog())
    assert "remove sandbox" not in machine.seen


async def test_what_cannot_be_undone_keeps_nothing_else(machine, run):
    run.sandbox, machine.failing = SANDBOX, "remove sandbox"
    log = FakeLog()
    await undo_steps(start_steps(run), log)
    assert machine.seen == UNDO_ALL
    assert [fields["step"] for _, fields in log.warnings] == ["network"]


async def test_a_checkpoint_is_restored_and_not_started(machine, run, tmp_path):
    run.restore = tmp_path
    await do_steps(start_steps(run), FakeLog())
    assert machine.seen[-1] == "open streams"
