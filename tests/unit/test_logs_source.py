import asyncio
import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from palan.api.frames import STDERR, STDOUT, FrameDecoder
from palan.engine.streams import LogOptions, LogQuery, parse_tail, read_logs
from palan.engine.streams import logs as logs_module
from palan.engine.streams.logs import await_first_output
from palan.engine.streams.logsource import BLOCK, LogSource
from palan.engine.streams.segments import assign_number, compress, cut_newest, trim
from palan.engine.streams.segments import numbered as files_of


async def read(path, ended=None, *, tail=None, follow=False, **options):
    query = LogQuery(LogOptions(**options), tail=tail, follow=follow)
    data = b"".join([chunk async for chunk in read_logs(path, query, ended).chunks])
    return b"".join(text for _, text in FrameDecoder().feed(data))


def numbered(first, last, **options):
    return b"".join(record(STDOUT, b"%d" % i, at=i * 10**9, **options) for i in range(first, last))


def lines(first, last):
    return b"".join(b"%d\n" % i for i in range(first, last))


BASE = 1_795_438_800  # 2026-11-23T13:00:00Z


def record(stream, text, *, whole=True, at=0):
    moment = datetime.fromtimestamp(BASE + at // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    name = "stdout" if stream == STDOUT else "stderr"
    tag = "F" if whole else "P"
    return f"{moment}.{at % 10**9:09d}+00:00 {name} {tag} ".encode() + text + b"\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ctr.log"


async def test_absent_and_empty(path):
    assert await read(path) == b""
    assert await read(path, tail=3) == b""
    path.write_bytes(b"")
    assert await read(path, tail=3, since=5) == b""


async def test_everything(path):
    path.write_bytes(numbered(0, 30_000))  # more than one block
    assert await read(path) == lines(0, 30_000)


@pytest.mark.parametrize("count", [0, 1, 2, 999, 5000, 9999, 10_000, 20_000])
async def test_tail(path, count):
    path.write_bytes(numbered(0, 10_000))
    assert await read(path, tail=count) == lines(max(0, 10_000 - count), 10_000)


async def test_tail_with_pieces_and_streams(path):
    path.write_bytes(
        record(STDOUT, b"a")
        + record(STDOUT, b"b1", whole=False)
        + record(STDERR, b"x")
        + record(STDOUT, b"b2")
        + record(STDERR, b"y1", whole=False)
        + record(STDERR, b"y2", whole=False)
    )
    assert await read(path, tail=1) == b"y1y2"
    with LogSource(path) as source:
        assert source.tail(1, stdout=True, stderr=False)[1] == 0
        start, skip = source.tail(2)
        assert skip > 0
        assert start < start + skip < source.size
    assert await read(path, tail=2) == b"b1b2\ny1y2"
    assert await read(path, tail=3) == b"x\nb1b2\ny1y2"
    assert await read(path, tail=4) == b"a\nx\nb1b2\ny1y2"


async def test_tail_of_long_records(path):
    path.write_bytes(record(STDOUT, b"x" * BLOCK * 2) + record(STDOUT, b"y" * BLOCK))
    assert len(await read(path, tail=1)) == BLOCK + 1
    assert len(await read(path, tail=2)) == 3 * BLOCK + 2


async def test_tail_counts_records_after_one_that_was_cut_off(path):
    path.write_bytes(numbered(0, 2) + numbered(2, 3)[:-1] + numbered(3, 5))
    assert [await read(path, tail=count) for count in (1, 2, 3, 4)] == [
        lines(4, 5), lines(2, 5), lines(2, 5), lines(1, 5),
    ]  # fmt: skip


async def test_tail_with_carriage_returns(path):
    path.write_bytes(b"".join(record(STDOUT, b"a\rb%d\r" % i) for i in range(5)))
    assert await read(path, tail=2) == b"a\rb3\r\na\rb4\r\n"


async def test_since_is_found_without_reading_all(path):
    path.write_bytes(numbered(0, 20_000))
    since = (BASE + 15_000) * 10**9
    with LogSource(path) as source:
        position = source.seek_time(since)
        assert source.size * 0.6 < position < source.size * 0.76
        assert source.seek_time(0) == 0
        assert source.size - source.seek_time(2**62) <= BLOCK
    assert await read(path, since=since) == lines(15_000, 20_000)
    assert await read(path, since=since, tail=10) == lines(19_990, 20_000)
    assert await read(path, since=since, tail=9000) == lines(15_000, 20_000)
    assert await read(path, since=since, until=since) == lines(15_000, 15_001)


def begin_another(path, data=b""):
    """Start a new log file, as conmon does when its log is full or on request."""
    path.with_name("ctr.log.tmp").write_bytes(data)
    path.with_name("ctr.log.tmp").rename(path)


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


async def test_rotated_files_are_one_log(path):
    path.write_bytes(numbered(0, 10))
    size = path.stat().st_size
    for i in range(1, 5):
        assert assign_number(path) == i == assign_number(path)
        assert path.with_name(f"ctr.log.{i}").samefile(path)
        assert await read(path) == lines(max(0, i - 3) * 10, i * 10)
        begin_another(path, numbered(i * 10, i * 10 + 10))
        assert await read(path) == lines(max(0, i - 3) * 10, i * 10 + 10)  # before it has a number
        assign_number(path)
        trim(path, size=size * 2, files=3)
    assert names(path) == ["ctr.log", "ctr.log.3", "ctr.log.4", "ctr.log.5"]
    assert await read(path) == lines(20, 50)
    assert await read(path, tail=25) == lines(25, 50)
    assert await read(path, since=(BASE + 33) * 10**9) == lines(33, 50)


async def test_compressed_files_are_read_like_others(path):
    path.write_bytes(numbered(0, 1000))
    for i in range(1, 5):
        assign_number(path)
        begin_another(path, numbered(i * 1000, i * 1000 + 1000))
    assign_number(path)
    for segment in files_of(path)[:3]:
        compress(path, segment)
    assert names(path) == [
        "ctr.log", "ctr.log.1.gz", "ctr.log.2.gz", "ctr.log.3.gz", "ctr.log.4", "ctr.log.5",
    ]  # fmt: skip
    assert await read(path) == lines(0, 5000)
    assert await read(path, tail=10) == lines(4990, 5000)
    assert await read(path, tail=2500) == lines(2500, 5000)
    assert await read(path, since=(BASE + 1500) * 10**9) == lines(1500, 5000)
    with LogSource(path) as source:
        assert source.is_slow(0)
        assert not source.is_slow(source.size)
    trim(path, size=1, files=2)
    assert len(names(path)) == 3


async def test_an_oversized_log_is_cut_at_a_line(path):
    path.write_bytes(numbered(0, 1000))
    assign_number(path)
    begin_another(path, numbered(1000, 1010))
    assign_number(path)
    trim(path, size=5000, files=3)
    data = await read(path)
    first = int(data.split(b"\n")[0])
    assert data == lines(first, 1010)
    assert 700 < first < 1000
    assert path.with_name("ctr.log.1").stat().st_size <= 10_000
    cut_newest(path, 100)
    data = await read(path)
    last = int(data.split(b"\n")[-2])
    assert last == 1009
    assert b"\n1008\n1009\n" in data
    assert b"\n1006\n" not in data
    assert [segment.number for segment in files_of(path)] == [1, 2]


def test_a_file_without_a_log(path):
    assert assign_number(path) == 0
    trim(path, size=1, files=1)
    assert files_of(path) == []
    assert files_of(path / "absent") == []


async def test_only_one_file_means_that_nothing_older_stays(path):
    path.write_bytes(numbered(0, 10))
    assign_number(path)
    begin_another(path, numbered(10, 20))
    assign_number(path)
    trim(path, size=1000, files=1)
    assert await read(path) == lines(10, 20)


async def test_a_follower_misses_nothing_of_several_files(path):
    ended = asyncio.Event()
    path.write_bytes(numbered(0, 10))
    assign_number(path)
    query = LogQuery(LogOptions(tty=True), follow=True)
    chunks: Any = read_logs(path, query, ended).chunks
    got = await anext(chunks)
    for i in range(1, 6):  # while it does not read
        begin_another(path, numbered(i * 10, i * 10 + 10))
        assign_number(path)
        if i == 3:
            compress(path, files_of(path)[0])
            compress(path, files_of(path)[1])
    ended.set()
    async with asyncio.timeout(2):
        async for chunk in chunks:
            got += chunk
    assert got == lines(0, 60)


async def test_a_follower_continues_where_files_are_missing(path):
    ended = asyncio.Event()
    path.write_bytes(numbered(0, 10))
    assign_number(path)
    query = LogQuery(LogOptions(tty=True), follow=True)
    chunks: Any = read_logs(path, query, ended).chunks
    got = await anext(chunks)
    for i in range(1, 6):
        begin_another(path, numbered(i * 10, i * 10 + 10))
        assign_number(path)
    for segment in files_of(path)[:4]:
        segment.path.unlink()
    ended.set()
    async with asyncio.timeout(2):
        async for chunk in chunks:
            got += chunk
    assert got == lines(0, 10) + lines(40, 60)


async def follow(path, ended, **options):
    query = LogQuery(LogOptions(tty=True), follow=True, **options)
    return b"".join([chunk async for chunk in read_logs(path, query, ended).chunks])


async def test_follow_what_is_added(path):
    ended = asyncio.Event()
    reading = asyncio.ensure_future(follow(path, ended, tail=1))
    await asyncio.sleep(0.01)
    with path.open("ab") as file:  # the file did not exist before
        for i in range(20):
            data = numbered(i, i + 1)
            cut = random.Random(i).randrange(len(data))
            for part in (data[:cut], data[cut:]):
                os.write(file.fileno(), part)
                await asyncio.sleep(0.001)
        os.write(file.fileno(), numbered(20, 21) + record(STDOUT, b"piece", whole=False))
    ended.set()
    async with asyncio.timeout(2):
        assert await reading == lines(0, 21) + b"piece"


async def test_follow_of_what_has_ended(path):
    path.write_bytes(numbered(0, 5))
    ended = asyncio.Event()
    ended.set()
    async with asyncio.timeout(2):
        assert await follow(path, ended) == lines(0, 5)
        assert await read(path, None, follow=True) == lines(0, 5)


async def test_follow_until(path):
    path.write_bytes(numbered(0, 5))
    async with asyncio.timeout(2):
        assert await read(path, asyncio.Event(), follow=True, until=(BASE + 2) * 10**9) == lines(
            0, 3
        )


async def test_follow_through_rotation_and_truncation(path):
    ended, seen = asyncio.Event(), bytearray()

    async def follow_and_keep():
        query = LogQuery(LogOptions(tty=True), follow=True)
        async for chunk in read_logs(path, query, ended).chunks:
            seen.extend(chunk)

    async def until(expected):
        while bytes(seen) != expected:  # noqa: ASYNC110 - chunks have no event
            await asyncio.sleep(0.001)

    path.write_bytes(numbered(0, 5))
    reading = asyncio.ensure_future(follow_and_keep())
    async with asyncio.timeout(20):
        await until(lines(0, 5))
        assign_number(path)
        with path.open("ab") as file:  # conmon has not reopened it yet
            file.write(numbered(5, 7))
        path.with_name("new").write_bytes(b"")
        path.with_name("new").rename(path)
        with path.open("ab") as file:
            file.write(numbered(7, 9))
        await until(lines(0, 9))
        os.truncate(path, 0)
        await asyncio.sleep(0.02)
        with path.open("ab") as file:
            file.write(numbered(9, 10))
        ended.set()
        await reading
    assert bytes(seen) == lines(0, 10)


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_closing_a_follower_leaves_nothing_behind(path):
    path.write_bytes(numbered(0, 5))
    before = open_files()
    query = LogQuery(LogOptions(tty=True), follow=True)
    chunks: Any = read_logs(path, query, asyncio.Event()).chunks
    assert await anext(chunks) == lines(0, 5)
    waiting = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await chunks.aclose()
    assert open_files() == before


async def test_terminal_has_no_stderr(path):
    path.write_bytes(numbered(0, 5))
    assert await read(path, tty=True, stdout=False) == b""


async def test_the_first_output_after_a_start_is_awaited(path, monkeypatch):
    monkeypatch.setattr(logs_module, "_FIRST_OUTPUT", 5.0)
    ended = asyncio.Event()
    path.write_bytes(numbered(0, 1))  # of an earlier run
    before = time.time_ns() - 10**9
    os.utime(path, ns=(before, before))
    started = time.time_ns()
    waiting = asyncio.ensure_future(await_first_output(path, started, ended))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    with path.open("ab") as file:
        file.write(numbered(1, 2))
    async with asyncio.timeout(2):
        await waiting
        await await_first_output(path, time.time_ns() - 6 * 10**9, ended)  # not just started
        await await_first_output(path, started, ended)  # it has written


@pytest.mark.parametrize("ends", [True, False])
async def test_the_wait_for_output_is_short(path, monkeypatch, ends):
    monkeypatch.setattr(logs_module, "_FIRST_OUTPUT", 5.0 if ends else 0.05)
    ended = asyncio.Event()
    path.touch()
    waiting = asyncio.ensure_future(await_first_output(path, time.time_ns(), ended))
    if ends:
        await asyncio.sleep(0.02)
        ended.set()
    async with asyncio.timeout(2):
        await waiting


def test_parse_tail():
    assert [parse_tail(t) for t in ("all", "", "few", "-3", "0", "12")] == [None] * 4 + [0, 12]
