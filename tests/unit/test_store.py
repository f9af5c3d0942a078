import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.commits import Commits

from palan.store.database import DamagedState, Database, StoreFailure
from palan.store.documents import Documents
from palan.store.reserve import Reserve


SCHEMA = ("CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, value INTEGER)",)


class Thing(msgspec.Struct):
    name: str
    size: int = 0


THINGS = Documents("documents", Thing)


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "db", (*SCHEMA, *THINGS.schema))
    yield database
    database.close()


def put(name: str, value: int):
    return lambda c: c.execute("INSERT OR REPLACE INTO things VALUES (?, ?)", (name, value))


def everything(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    return connection.execute("SELECT name, value FROM things ORDER BY rowid").fetchall()


async def test_queued_changes_are_committed_once_settled(database, tmp_path):
    def seen():
        with sqlite3.connect(tmp_path / "db") as other:
            return everything(other)

    await database.settled()
    database.post(put("first", 1))
    await database.settled()
    assert seen() == [("first", 1)]
    database.post(put("second", 2))
    await asyncio.sleep(0)  # it is under way
    await database.settled()
    assert seen() == [("first", 1), ("second", 2)]


async def test_who_waits_for_queued_changes_can_be_cancelled(database):
    database.post(lambda _: time.sleep(0.05))
    database.post(put("kept", 1))
    waiting = asyncio.ensure_future(database.settled())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await database.run(everything) == [("kept", 1)]


async def test_a_queued_change_that_fails_keeps_nobody_waiting(database):
    database.post(lambda c: c.execute("INSERT INTO nosuch VALUES (1)"))
    await database.settled()


async def test_a_queued_change_joins_the_next_transaction(database):
    commits = Commits(database)
    database.post(put("event", 1))
    await THINGS.put(database, "a", Thing("a"))
    assert commits.transactions == [{"insert things", "insert documents"}]


async def test_an_exception_rolls_back_and_is_raised(database):
    def half(connection):
        put("half", 1)(connection)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await database.run(half)
    assert await database.run(everything) == []
    await database.run(put("whole", 1))
    assert await database.run(everything) == [("whole", 1)]


async def test_a_failed_statement_leaves_a_connection_that_works(database):
    with pytest.raises(sqlite3.OperationalError):
        await database.run(lambda c: c.execute("INSERT INTO nowhere VALUES (1)"))
    await database.run(put("a", 1))
    assert await database.run(everything) == [("a", 1)]


async def test_a_full_disk_is_reported_and_may_pass(database):
    """SQLite rolls back by itself in this case, which must not hide the error."""
    await database.run(lambda c: c.execute("PRAGMA max_page_count = 1"))
    (pages,) = await database.run(lambda c: c.execute("PRAGMA page_count").fetchone())
    await database.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreFailure, match="full"):
        await database.run(
            lambda c: c.execute("INSERT INTO things VALUES (?, 1)", ("x" * 100_000,))
        )
    await database.run(lambda c: c.execute("PRAGMA max_page_count = 100000"))
    await database.run(put("a", 1))
    assert await database.run(everything) == [("a", 1)]


async def test_posted_changes_are_made_in_order_before_run(database):
    for number in range(100):
        database.post(put("n", number))
        database.post(put(f"n{number}", number))
    rows = await database.run(everything)
    assert dict(rows)["n"] == 99
    assert [name for name, _ in rows if name != "n"] == [f"n{n}" for n in range(100)]


async def test_a_failing_posted_change_does_not_affect_others(database):
    database.post(lambda c: c.execute("INSERT INTO nowhere VALUES (1)"))
    database.post(put("a", 1))
    assert await database.run(everything) == [("a", 1)]


async def test_cancelling_the_caller_does_not_undo_the_change(database):
    started = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def slow(connection):
        loop.call_soon_threadsafe(started.set_result, None)
        put("slow", 1)(connection)

    task = asyncio.ensure_future(database.run(slow))
    await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.run(everything) == [("slow", 1)]


async def test_concurrent_changes_are_serialized(database):
    await database.run(put("n", 0))

    def increment(connection):
        (value,) = connection.execute("SELECT value FROM things WHERE name = 'n'").fetchone()
        put("n", value + 1)(connection)
        return value + 1

    values = await asyncio.gather(*(database.run(increment) for _ in range(50)))
    assert values == list(range(1, 51))


async def test_close_writes_queued_changes_and_is_idempotent(tmp_path):
    database = Database(tmp_path / "db", SCHEMA)
    for number in range(50):
        database.post(put(str(number), number))
    database.close()
    database.close()
    again = Database(tmp_path / "db", SCHEMA)
    assert len(again.read(everything)) == 50
    again.close()


async def test_changed_documents_keep_their_position(database):
    for name in "abc":
        await THINGS.put(database, name, Thing(name))
    await THINGS.put(database, "a", Thing("a", 7))
    assert [key for key, _ in THINGS.load(database)] == ["a", "b", "c"]
    await THINGS.delete(database, "b")
    await THINGS.delete(database, "absent")
    assert dict(THINGS.load(database)) == {"a": Thing("a", 7), "c": Thing("c")}


async def test_a_document_is_encoded_when_it_is_put(database):
    thing = Thing("a", 1)
    writing = asyncio.ensure_future(THINGS.put(database, "a", thing))
    await asyncio.sleep(0)
    thing.size = 2
    await writing
    assert dict(THINGS.load(database)) == {"a": Thing("a", 1)}


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers())), max_size=20)
)
def test_documents_behave_like_a_durable_dictionary(tmp_path_factory, changes):
    async def check() -> None:
        path = tmp_path_factory.mktemp("documents") / "db"
        database = Database(path, THINGS.schema)
        expected: dict[str, Thing] = {}
        for key, size in changes:
            if size is None:
                expected.pop(key, None)
                await THINGS.delete(database, key)
            else:
                small = size % 2**31
                expected[key] = Thing(key, small)
                await THINGS.put(database, key, Thing(key, small))
        database.close()
        database = Database(path, THINGS.schema)
        assert list(THINGS.load(database)) == list(expected.items())
        database.close()

    asyncio.run(check())


def test_posted_and_run_changes_are_one_transaction(tmp_path):
    seen = []

    def count():
        with contextlib.closing(sqlite3.connect(tmp_path / "db")) as other:
            return other.execute("SELECT count(*) FROM n").fetchone()[0]

    async def check():
        database = Database(tmp_path / "db", ("CREATE TABLE n (n INTEGER)",))
        database.post(lambda c: c.execute("INSERT INTO n VALUES (1)"))

        def change(connection):
            seen.append(count())
            connection.execute("INSERT INTO n VALUES (2)")

        await database.run(change)
        seen.append(count())
        database.close()

    asyncio.run(check())
    assert seen == [0, 2]


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from palan.store.database import Database

    async def main():
        database = Database(Path(sys.argv[1]), ("CREATE TABLE IF NOT EXISTS n (n INTEGER)",))
        number = 0
        while True:
            number += 1
            await database.run(lambda c: c.execute("INSERT INTO n VALUES (?)", (number,)))
            print(number, flush=True)

    asyncio.run(main())
"""


def test_acknowledged_changes_survive_a_sigkill(tmp_path):
    path = tmp_path / "db"
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), path],
            stdout=subprocess.PIPE, text=True,
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            for _ in range(20):
                line = writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            # Lines that are still in the pipe were acknowledged too.
            line = (writer.stdout.read().splitlines() or [line])[-1]
            acknowledged += int(line)
        database = Database(path, ())
        count, last = database.read(
            lambda c: c.execute("SELECT count(*), max(n) FROM n").fetchone()
        )
        assert database.read(lambda c: c.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
        database.close()
        assert count >= acknowledged
        assert last >= int(line)
        acknowledged = count


def test_only_the_owner_can_read_the_file(tmp_path):
    """The database contains environments of containers, so a wider mode is corrected."""
    path = tmp_path / "db"
    for _ in range(2):
        database = Database(path, SCHEMA)
        database.read(lambda c: c.execute("INSERT INTO things VALUES ('a', 1)"))
        found = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
        assert found == {"db": 0o600, "db-wal": 0o600, "db-shm": 0o600, "db-reserve": 0o600}
        database.read(lambda c: c.execute("DELETE FROM things"))
        for name in tmp_path.iterdir():
            name.chmod(0o644)
        database.close()


def test_a_reserve_is_released_once_and_restored(tmp_path):
    reserve = Reserve(tmp_path / "reserve")
    assert (tmp_path / "reserve").stat().st_blocks > 0
    assert reserve.release()
    assert not (tmp_path / "reserve").exists()
    assert not reserve.release()
    reserve.restore()
    assert (tmp_path / "reserve").exists()
    assert Reserve(tmp_path / "reserve").release()


def test_no_reserve_on_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 100, 10, 10, 0, 255))
    monkeypatch.setattr("os.statvfs", lambda _path: full)
    assert not Reserve(tmp_path / "reserve").release()
    assert not (tmp_path / "reserve").exists()


async def test_posted_changes_are_made_once_on_a_full_disk(database):
    """The first attempt fails; the reserve is released for the second."""
    failed: list[bool] = []

    def fail_once(connection):
        if not failed:
            failed.append(True)
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return put("b", 1)(connection)

    database.post(put("a", 1))
    await database.run(fail_once)
    assert sorted(await database.run(everything)) == [("a", 1), ("b", 1)]


class Numbers(msgspec.Struct):
    a: int


@pytest.mark.parametrize("what", ["no database", "a page", "a row"])
def test_a_damaged_file_is_reported(tmp_path, what):
    path = tmp_path / "db"
    documents = Documents("things", Numbers)
    database = Database(path, documents.schema)
    database.read(lambda c: c.execute("INSERT INTO things VALUES ('a', ?)", (b'{"a":1}',)))
    database.close()
    data = path.read_bytes()
    if what == "no database":
        path.write_bytes(b"x" * len(data))
    elif what == "a page":
        path.write_bytes(data[:4096] + b"x" * 4096)
    else:
        path.write_bytes(data.replace(b'{"a":1}', b'{"a":!}'))
    with pytest.raises(DamagedState, match="is damaged"):
        damaged = Database(path, documents.schema)
        with contextlib.closing(damaged):
            list(documents.load(damaged))
