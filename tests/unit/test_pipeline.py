"""Steps that are done in order, and undone in reverse."""

import asyncio

import pytest
from tests.support.containers import FakeLog

from palan.engine.containers.pipeline import Step, do_steps, undo_steps


class Recorder:
    """Makes steps that record the calls of ``do`` and ``undo``."""

    def __init__(self):
        self.seen = []

    def step(self, label, **options):
        return _Recorded(self.seen, label, **options)


class _Recorded(Step):
    def __init__(self, seen, label, *, fails=None, undo_fails=None, waits=()):
        self.seen, self.name = seen, label
        self.fails, self.undo_fails, self.waits = fails, undo_fails, list(waits)

    async def do(self):
        self.seen.append(f"do {self.name}")
        for event in self.waits:
            await event.wait()
        if self.fails is not None:
            raise self.fails
        self.seen.append(f"did {self.name}")

    async def undo(self):
        self.seen.append(f"undo {self.name}")
        if self.undo_fails is not None:
            raise self.undo_fails


@pytest.fixture
def recorder():
    return Recorder()


async def test_steps_are_done_in_order(recorder):
    await do_steps([recorder.step("a"), recorder.step("b")], FakeLog())
    assert recorder.seen == ["do a", "did a", "do b", "did b"]


async def test_a_failure_undoes_what_was_begun_in_reverse(recorder):
    steps = [recorder.step("a"), recorder.step("b", fails=OSError("full")), recorder.step("c")]
    with pytest.raises(OSError, match="full"):
        await do_steps(steps, FakeLog())
    assert recorder.seen == ["do a", "did a", "do b", "undo b", "undo a"]


async def test_steps_of_a_tuple_are_done_at_the_same_time(recorder):
    went = asyncio.Event()
    a, b = recorder.step("a", waits=[went]), recorder.step("b")
    task = asyncio.create_task(do_steps([(a, b)], FakeLog()))
    await asyncio.sleep(0.01)
    assert recorder.seen == ["do a", "do b", "did b"]
    went.set()
    await task


async def test_nothing_is_undone_while_a_step_of_the_tuple_is_being_done(recorder):
    went = asyncio.Event()
    a, b = recorder.step("a", waits=[went]), recorder.step("b", fails=ValueError("b"))
    task = asyncio.create_task(do_steps([recorder.step("first"), (a, b)], FakeLog()))
    await asyncio.sleep(0.01)
    assert recorder.seen[2:] == ["do a", "do b"]
    went.set()
    with pytest.raises(ValueError, match="b"):
        await task
    assert recorder.seen[4:] == ["did a", "undo b", "undo a", "undo first"]


async def test_one_that_is_cancelled_is_undone_when_its_steps_have_ended(recorder):
    went = asyncio.Event()
    steps = [(recorder.step("a", waits=[went]), recorder.step("b"))]
    task = asyncio.create_task(do_steps(steps, FakeLog()))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    went.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.seen[-3:] == ["did a", "undo b", "undo a"]


async def test_an_undo_that_fails_keeps_no_other_from_being_done(recorder):
    log = FakeLog()
    steps = [
        recorder.step("a"),
        (recorder.step("b"), recorder.step("c", undo_fails=TimeoutError())),
        recorder.step("d", undo_fails=OSError("busy")),
    ]
    await undo_steps(steps, log)
    assert recorder.seen == ["undo d", "undo c", "undo b", "undo a"]
    assert [fields["step"] for _, fields in log.warnings] == ["d", "c"]
