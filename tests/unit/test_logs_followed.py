"""Followers of a log whose files are numbered, cut, compressed and deleted meanwhile.

Each follower gets each line once and in order, and its stream ends with the container.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from palan.engine.streams import LogOptions, LogQuery, read_logs
from palan.engine.streams.logsource import LogSource
from palan.engine.streams.openlogs import open_log
from palan.engine.streams.segments import (
    assign_number,
    compress,
    cut_newest,
    numbered,
    trim,
    trim_ended,
)


OPERATIONS = [
    *["write"] * 4,
    *["read"] * 3,
    *["rotate"] * 3,
    *["follow"] * 2,
    "lose",
    "compress",
    "trim",
    "end",
    "restart engine",
]


class Log:
    """A log with numbered lines, and what the engine and conmon do to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next = 0
        self.lost: set[int] = set()
        """Lines that no reader needs to see: no file has had them, or conmon has deleted it."""

        self.newest: list[int] = []
        self.ended = asyncio.Event()
        self.followers: list[tuple[list[int], int, asyncio.Task[list[int]]]] = []

    def write(self, count: int) -> None:
        with self.path.open("ab") as file:
            for number in range(self.next, self.next + count):
                file.write(b"2026-11-23T13:00:00.000000000+00:00 stdout F %d\n" % number)
                self.newest.append(number)
        self.next += count

    def rotate(self) -> None:
        """Begin another file, as conmon does."""
        self.path.with_name("ctr.log.tmp").write_bytes(b"")
        self.path.with_name("ctr.log.tmp").rename(self.path)
        self.newest = []

    def lose(self) -> None:
        """Let conmon begin another file before the newest one has a number."""
        if not any(segment.path.samefile(self.path) for segment in numbered(self.path)):
            self.lost.update(self.newest)
        self.rotate()

    async def follow(self) -> None:
        """Let a client follow the log; what is in it now is what the client gets first."""
        got: list[int] = []
        lines = shown(self.path)
        begin = lines[0] if lines else self.next
        known = open_log(self.path)
        before = len(known.followers)
        task = asyncio.ensure_future(follow(self.path, self.ended, got))
        async with asyncio.timeout(5):
            while len(known.followers) == before:  # noqa: ASYNC110 - opened in a thread
                await asyncio.sleep(0)
        self.followers.append((got, begin, task))

    async def settle(self, task: asyncio.Task[list[int]]) -> None:
        async with asyncio.timeout(5):
            await task

    async def end(self, *, size: int, files: int) -> None:
        """End the container: every follower has got every line from its beginning on."""
        assign_number(self.path)
        trim(self.path, size=size, files=files)
        trim_ended(self.path, size=size, files=files)
        self.ended.set()
        last = self.next
        self.ended = asyncio.Event()  # it is started again before any follower has noticed
        for got, begin, task in self.followers:
            await self.settle(task)
            assert got == sorted(set(got)), "a line came twice, or in the wrong place"
            assert set(range(begin, last)) - self.lost <= set(got)
        self.followers.clear()
        found = shown(self.path)
        assert found == sorted(set(found))
        if self.newest:
            assert found[-1] == last - 1

    async def restart_engine(self) -> None:
        """Disconnect all clients, as when the engine is killed."""
        for _, _, task in self.followers:
            task.cancel()
            await asyncio.wait([task])
        self.followers.clear()


def shown(path: Path) -> list[int]:
    with LogSource(path) as source:
        data = b"".join(pieces(source))
    return [int(record.rsplit(b" ", 1)[1]) for record in data.splitlines()]


def pieces(source: LogSource) -> Iterator[bytes]:
    position = 0
    while data := source.read(position, 1 << 20):
        position += len(data)
        yield data


async def follow(path: Path, ended: asyncio.Event, got: list[int]) -> list[int]:
    query = LogQuery(LogOptions(tty=True), follow=True)
    chunks: Any = read_logs(path, query, ended).chunks
    try:
        async for chunk in chunks:
            got.extend(map(int, chunk.split()))
    finally:
        await chunks.aclose()
    return got


async def perform(log: Log, name: str, number: int) -> None:
    match name:
        case "write":
            log.write(number * 3)
        case "read":
            await asyncio.sleep(number / 2000)
        case "rotate":
            assign_number(log.path)
            log.rotate()
        case "lose":
            log.lose()
        case "follow":
            await log.follow()
        case "compress":
            assign_number(log.path)
            await asyncio.to_thread(compress_all, log.path)
        case "trim":
            assign_number(log.path)
            await asyncio.to_thread(trim, log.path, size=200, files=number % 3 + 1)
        case "end":
            await log.end(size=300, files=number % 3 + 1)
        case "restart engine":
            await log.restart_engine()


def compress_all(path: Path) -> None:
    for segment in numbered(path)[:-1]:
        if not segment.compressed:
            compress(path, segment)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9)), max_size=30))
def test_each_line_comes_once_and_in_order(operations):
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            log = Log(Path(directory) / "ctr.log")
            log.path.touch()
            await log.follow()
            for name, number in operations:
                await perform(log, name, number)
            await log.end(size=300, files=2)

    asyncio.run(run())


async def test_a_follower_waits_quietly_after_a_cut(tmp_path, monkeypatch):
    path = tmp_path / "ctr.log"
    log = Log(path)
    log.write(50)
    assign_number(path)
    await log.follow()
    got, _, task = log.followers[0]
    await asyncio.sleep(0.05)
    cut_newest(path, 100)
    await asyncio.sleep(0.05)
    reads = []
    read = LogSource.read

    def counted(source: LogSource, position: int, length: int) -> bytes:
        reads.append(position)
        return read(source, position, length)

    monkeypatch.setattr(LogSource, "read", counted)
    await asyncio.sleep(0.1)
    assert len(reads) < 3
    log.ended.set()
    await log.settle(task)
    assert got == list(range(50))


async def test_a_follower_that_does_not_read_keeps_a_limited_number_of_files(tmp_path):
    path = tmp_path / "ctr.log"
    log = Log(path)
    log.write(1)
    with LogSource(path, follow=True) as source:
        for _ in range(100):
            assign_number(path)
            log.rotate()
            log.write(1)
            trim(path, size=1000, files=1)
        assert open_files(path) < 40
        position = 0
        numbers = []
        while True:
            while data := source.read(position, 1 << 16):
                position += len(data)
                numbers += [int(record.rsplit(b" ", 1)[1]) for record in data.splitlines()]
            if not source.moved(position):
                break
            source.extend(position)
        assert open_files(path) == 1
    assert numbers == sorted(set(numbers))
    assert numbers[:30] == list(range(30))
    assert numbers[-1] == 100


def open_files(path: Path) -> int:
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # the directory's own
            continue
    return sum(link.startswith(str(path)) for link in links)
