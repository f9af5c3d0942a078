"""Rotation and shipping of logs, with a fake receiver and files that conmon might have written."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.containers import make_record

from palan.api.containers import HostConfig, LogConfig
from palan.api.errors import InternalError
from palan.engine.logdrivers import rotation, shipper, shipping
from palan.engine.logdrivers.driver import Driver, Origin, Retry, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.room import SCHEMA, Logs
from palan.engine.logdrivers.rotation import prepare_log
from palan.engine.logdrivers.settings import log_settings
from palan.engine.streams.segments import numbered
from palan.store.database import Database


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


class Receiver(Driver):
    """A driver that sends to a list, or fails if it is set unreachable."""

    options = frozenset[str]()

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.origins: list[Origin] = []
        self.reachable = True
        self.attempts: int | None = None
        self.opened = 0

    def check(self, options: Any) -> None:
        pass

    def sink(self, origin: Origin) -> Sink:
        self.origins.append(origin)
        return _Sink(self)

    async def wait(self, count: int) -> list[str]:
        """Return the lines, once there are so many."""
        await _until(lambda: len(self.lines) >= count)
        return self.lines


class _Sink(Sink):
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.retry = Retry(first=0.01, attempts=receiver.attempts)

    async def open(self) -> None:
        if not self.receiver.reachable:
            raise ConnectionRefusedError("connection refused")
        self.receiver.opened += 1

    async def send(self, entries: Sequence[Entry]) -> None:
        if not self.receiver.reachable:
            raise BrokenPipeError("broken pipe")
        self.receiver.lines += [entry.text for entry in entries]

    async def close(self) -> None:
        pass


class Container:
    """A container that runs; a test writes its log."""

    def __init__(self, directory: Path, **options: str) -> None:
        config = LogConfig(type=options.pop("driver", "test"), config=options)
        self.record = make_record(host_config=HostConfig(log_config=config), started=1)
        self.id = self.record.id
        self.running = True
        self.path = directory / "container.log"
        self.monitored: Any = self
        self.written = 0
        self.reopened = 0
        prepare_log(self.path, log_settings(config))

    def write(self, *lines: str) -> None:
        with self.path.open("a") as file:
            for line in lines:
                file.write(f"2026-11-23T13:00:00.123456789+00:00 stdout F {line}\n")

    def reopen_log(self) -> None:
        """Begin another file, as conmon does it."""
        self.reopened += 1
        new = self.path.with_name("new")
        new.touch()
        new.rename(self.path)

    def was_reopened(self, times: int) -> bool:
        return self.reopened >= times


class Engine:
    """The surroundings of the logs; ``again`` returns a later engine's with the same files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.db = Database(root / "db", SCHEMA)
        self.paths = SimpleNamespace(log=lambda _: root / "container.log")
        self.stopping = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []
        surroundings: Any = self
        self.logs = Logs(surroundings, hostname="box")

    def spawn(self, work: Any, **_: bool) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    async def slowly(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    async def stop(self) -> None:
        self.stopping.set()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.logs.close()
        self.db.close()

    async def again(self) -> "Engine":
        await self.stop()
        return Engine(self.root)


@pytest.fixture
def receiver(monkeypatch):
    made = Receiver()
    monkeypatch.setattr(shipping, "SHIPPING", {"test": made})
    monkeypatch.setattr(shipper, "_SAVE_INTERVAL", 0.0)
    return made


@pytest.fixture
async def engine(tmp_path):
    made = Engine(tmp_path)
    yield made
    if not made.stopping.is_set():
        await made.stop()


async def test_lines_are_sent_as_they_come(engine, tmp_path, receiver):
    container = Container(tmp_path, tag="{{.Name}}@{{.Hostname}}")
    await engine.logs.connect(container, by_policy=False)
    engine.logs.begin(container)
    container.write("one", "two")
    await receiver.wait(2)
    container.write("three")
    assert await receiver.wait(3) == ["one", "two", "three"]
    container.running = False
    await engine.logs.end(container)
    await asyncio.gather(*engine.tasks)
    assert receiver.opened == 1
    assert [origin.tag for origin in receiver.origins] == ["name1@box"]


async def test_the_next_engine_continues_where_the_last_one_was(engine, tmp_path, receiver):
    container = Container(tmp_path)
    engine.logs.begin(container)
    container.write("one", "two")
    await receiver.wait(2)
    await asyncio.sleep(0.05)  # the position is saved after the lines were sent
    later = await engine.again()
    container.write("three")
    later.logs.resume(container)
    assert await receiver.wait(3) == ["one", "two", "three"]
    await later.stop()


async def test_lines_left_of_a_container_that_has_ended_are_sent_once(engine, tmp_path, receiver):
    container = Container(tmp_path)
    container.write("one")
    container.running = False
    engine.logs.resume(container)
    await receiver.wait(1)
    await asyncio.gather(*engine.tasks)
    later = await engine.again()
    later.logs.resume(container)
    assert later.tasks == []
    await later.stop()
    assert receiver.lines == ["one"]


async def test_lines_of_rotated_files_are_sent_in_order(engine, tmp_path, receiver):
    container = Container(tmp_path)
    container.write("one")
    container.reopen_log()
    container.write("two")
    engine.logs.adopt(container)
    engine.logs.resume(container)
    await receiver.wait(2)
    container.reopen_log()
    container.write("three")
    assert await receiver.wait(3) == ["one", "two", "three"]


async def test_a_receiver_that_is_away_loses_nothing(engine, tmp_path, receiver):
    container = Container(tmp_path)
    receiver.reachable = False
    engine.logs.begin(container)
    container.write("one", "two")
    await asyncio.sleep(0.05)
    receiver.reachable = True
    assert await receiver.wait(2) == ["one", "two"]


async def test_after_some_attempts_lines_are_given_up(engine, tmp_path, receiver):
    receiver.attempts = 1
    container = Container(tmp_path)
    receiver.reachable = False
    engine.logs.begin(container)
    container.write("one")
    await asyncio.sleep(0.1)
    receiver.reachable = True
    container.write("two")
    assert await receiver.wait(1) == ["two"]


async def test_a_slow_receiver_loses_lines_if_it_may(engine, tmp_path, receiver):
    container = Container(tmp_path, mode="non-blocking", **{"max-buffer-size": "1k"})
    container.write(*(f"line {n:04}" for n in range(1000)))
    container.write("last")
    container.running = False
    engine.logs.resume(container)
    await asyncio.gather(*engine.tasks)
    assert receiver.lines[-1] == "last"
    assert len(receiver.lines) < 30


async def test_a_container_does_not_start_without_its_receiver(engine, tmp_path, receiver):
    container = Container(tmp_path)
    receiver.reachable = False
    with pytest.raises(InternalError, match="failed to initialize logging driver: connection"):
        await engine.logs.connect(container, by_policy=False)
    await engine.logs.connect(container, by_policy=True)
    receiver.reachable = True
    await engine.logs.connect(container, by_policy=False)
    await engine.logs.disconnect(container)


async def test_a_removed_container_has_its_last_lines_sent(engine, tmp_path, receiver):
    container = Container(tmp_path)
    engine.logs.begin(container)
    container.write("one")
    container.running = False
    await engine.logs.end(container)
    await engine.logs.remove(container)
    assert receiver.lines == ["one"]
    later = await engine.again()
    assert later.logs._shipping._positions == {}
    await later.stop()


async def test_a_small_log_is_rotated_by_the_engine(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(rotation, "INTERVAL", 0.01)
    container = Container(
        tmp_path, driver="json-file", **{"max-size": "1k", "max-file": "3", "compress": "true"}
    )
    engine.logs.begin(container)
    for turn in range(4):
        container.write(*("x" * 100 for _ in range(10)))
        await _until(partial(container.was_reopened, turn + 1))
        await _until(lambda: all(file.compressed for file in numbered(container.path)[:-1]))
    container.running = False
    await engine.logs.end(container)
    segments = numbered(container.path)
    assert [segment.number for segment in segments] == [3, 4, 5]
    assert segments[-1].path.stat().st_ino == container.path.stat().st_ino
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
