import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palan.api.system import EventMessage
from palan.engine import events
from palan.engine.events import SCHEMA, EventJournal
from palan.store.database import DamagedState, Database


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "db", SCHEMA)
    yield database
    database.close()


@pytest.fixture
def journal(database: Database) -> EventJournal:
    return EventJournal(database)


def publish(journal: EventJournal, *names: str) -> None:
    for name in names:
        journal.publish("container", "start", name, {"name": name})


def everything(_event: EventMessage) -> bool:
    return True


async def names(stream: AsyncIterator[EventMessage]) -> list[str]:
    return [event.actor.id async for event in stream]


async def take(stream: AsyncGenerator[EventMessage, None], count: int) -> list[str]:
    found = [(await asyncio.wait_for(anext(stream), 5)).actor.id for _ in range(count)]
    await stream.aclose()
    return found


async def test_a_follower_receives_an_event_as_published(journal):
    before = time.time_ns()
    journal.publish("network", "connect", "id", {"name": "web"}, scope="swarm")
    (event,) = [e async for e in journal.follow(before, time.time_ns(), everything)]
    assert (event.type, event.action, event.scope) == ("network", "connect", "swarm")
    assert (event.actor.id, event.actor.attributes) == ("id", {"name": "web"})
    assert before <= event.time_nano <= time.time_ns()
    assert event.time == event.time_nano // 10**9


async def test_times_never_repeat_and_numbers_keep_the_order(journal):
    publish(journal, *(str(n) for n in range(200)))
    seen = [e async for e in journal.follow(1, time.time_ns() + 10**6, everything)]
    assert [e.actor.id for e in seen] == [str(n) for n in range(200)]
    times = [e.time_nano for e in seen]
    assert times == sorted(set(times))


async def test_since_the_last_event_seen_and_a_nanosecond_neither_misses_nor_repeats(journal):
    publish(journal, "a", "b", "c")
    seen = [e async for e in journal.follow(1, time.time_ns() + 10**6, everything)]
    since = seen[1].time_nano
    assert await names(journal.follow(since, time.time_ns(), everything)) == ["b", "c"]
    assert await names(journal.follow(since + 1, time.time_ns(), everything)) == ["c"]
    assert await names(journal.follow(1, since, everything)) == ["a", "b"]


async def test_without_since_only_new_events_are_sent(journal):
    publish(journal, "old")
    stream = journal.follow(None, None, everything)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    publish(journal, "new")
    assert (await asyncio.wait_for(first, 5)).actor.id == "new"
    await stream.aclose()


async def test_an_end_without_a_beginning_tells_all_that_is_kept(journal):
    publish(journal, "a", "b")
    assert await names(journal.follow(None, time.time_ns() + 1, everything)) == ["a", "b"]


async def test_an_end_in_the_past_ends_at_once(journal):
    publish(journal, "a")
    assert await names(journal.follow(1, 2, everything)) == []


async def test_a_follower_with_an_end_to_come_gets_what_happens_until_then(journal):
    publish(journal, "before")
    stream = journal.follow(1, time.time_ns() + 100_000_000, everything)
    assert (await anext(stream)).actor.id == "before"
    publish(journal, "while")
    assert await names(stream) == ["while"]


async def test_the_test_decides_and_followers_are_counted(journal):
    publish(journal, "a", "b")
    stream = journal.follow(1, None, lambda event: event.actor.id == "b")
    assert journal.followers == 0
    assert (await anext(stream)).actor.id == "b"
    assert journal.followers == 1
    await stream.aclose()
    assert journal.followers == 0


async def test_many_followers_see_everything_once_and_in_order(journal):
    streams = [journal.follow(1, None, everything) for _ in range(5)]
    readers = [asyncio.ensure_future(take(stream, 300)) for stream in streams]
    expected = []
    for number in range(300):
        publish(journal, str(number))
        expected.append(str(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    assert await asyncio.gather(*readers) == [expected] * 5


async def test_events_outlive_the_engine(tmp_path):
    database = Database(tmp_path / "db", SCHEMA)
    publish(EventJournal(database), "a", "b")
    database.close()
    database = Database(tmp_path / "db", SCHEMA)
    journal = EventJournal(database)
    publish(journal, "c")
    assert await names(journal.follow(1, time.time_ns() + 1, everything)) == ["a", "b", "c"]
    # Numbers and times continue, even if the clock was set back.
    rows = await database.run(
        lambda c: c.execute("SELECT number, time_nano FROM events ORDER BY number").fetchall()
    )
    assert [row[0] for row in rows] == [1, 2, 3]
    assert rows[0][1] < rows[1][1] < rows[2][1]
    database.close()


async def test_deleted_rows_delay_no_reader(tmp_path):
    database = Database(tmp_path / "db", SCHEMA)
    publish(EventJournal(database), "a", "b")
    await database.run(lambda c: c.execute("DELETE FROM events WHERE number = 2"))
    journal = EventJournal(database)
    await database.run(lambda c: c.execute("DELETE FROM events"))
    journal._number = 2
    stream = journal.follow(1, None, everything)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    publish(journal, "c")
    assert (await asyncio.wait_for(waiting, 5)).actor.id == "c"
    await stream.aclose()
    database.close()


async def test_time_does_not_go_back_with_the_clock(journal, monkeypatch):
    publish(journal, "a")
    monkeypatch.setattr("time.time_ns", lambda: 1_000)
    publish(journal, "b")
    seen = [e.time_nano for _, e in journal._recent]
    assert seen[1] == seen[0] + 1


async def test_a_slow_follower_reads_on_from_the_database(journal):
    stream = journal.follow(1, None, everything)
    publish(journal, "0")
    assert (await anext(stream)).actor.id == "0"
    count = events.IN_MEMORY * 2 + 100
    publish(journal, *(str(n) for n in range(1, count)))
    assert await take(stream, count - 1) == [str(n) for n in range(1, count)]


async def test_a_follower_receives_the_number_of_lost_events(journal, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 1_500)
    stream = journal.follow(1, None, everything)
    publish(journal, "first")
    assert (await anext(stream)).actor.id == "first"
    publish(journal, *(str(n) for n in range(2, 3_001)))  # number 3000 trims the rest
    lost = await anext(stream)
    assert (lost.type, lost.action) == ("daemon", "events-lost")
    assert lost.actor.attributes == {"count": "1499"}
    assert (await anext(stream)).actor.id == "1501"
    await stream.aclose()


async def test_the_journal_is_bounded(journal, database, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 1_000)
    publish(journal, *(str(n) for n in range(2_500)))
    (count,) = await database.run(lambda c: c.execute("SELECT count(*) FROM events").fetchone())
    assert count == 1_500  # trimmed at every thousandth


async def test_old_events_are_deleted(journal, database, monkeypatch):
    publish(journal, "a", "b")
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now + events.KEPT_FOR)
    publish(journal, "c")
    rows = await database.run(lambda c: c.execute("SELECT event FROM events").fetchall())
    assert [b'"ID":"c"' in row[0] for row in rows] == [True]


async def test_the_size_of_the_journal_is_bounded(journal, database, monkeypatch):
    monkeypatch.setattr(events, "KEPT_BYTES", 5_000)
    monkeypatch.setattr(events, "_TRIM_BYTES", 3_000)
    for number in range(20):
        journal.publish("container", "start", str(number), {"label": "x" * 900})
    rows = await database.run(lambda c: c.execute("SELECT number FROM events").fetchall())
    assert 5 <= len(rows) <= 8


async def test_large_events_are_read_from_the_database(journal, monkeypatch):
    monkeypatch.setattr(events, "BYTES_IN_MEMORY", 2_000)
    for number in range(10):
        journal.publish("container", "start", str(number), {"label": "x" * 900})
    journal.publish("container", "start", "huge", {"label": "x" * 9_000})
    assert not journal._recent
    publish(journal, "small")
    expected = [*(str(number) for number in range(10)), "huge", "small"]
    assert await names(journal.follow(1, time.time_ns() + 1, everything)) == expected


async def test_a_full_disk_loses_events_but_blocks_no_publisher(journal, monkeypatch):
    stream = journal.follow(1, None, everything)
    publish(journal, "first")
    assert (await anext(stream)).actor.id == "first"
    monkeypatch.setattr(journal._database, "post", lambda _write: None)
    publish(journal, *(str(n) for n in range(events.IN_MEMORY + 10)))
    lost = await asyncio.wait_for(anext(stream), 5)
    assert lost.actor.attributes == {"count": "10"}
    assert (await anext(stream)).actor.id == "10"
    await stream.aclose()


async def test_an_unreadable_journal_is_an_error(tmp_path):
    (tmp_path / "db").write_text("this is no database, nor was it ever one\n" * 50)
    with pytest.raises(DamagedState):
        Database(tmp_path / "db", SCHEMA)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=10),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_any_slice_of_the_past_is_exact(tmp_path_factory, bursts, first, last):
    async def check() -> None:
        database = Database(tmp_path_factory.mktemp("events") / "db", SCHEMA)
        journal = EventJournal(database)
        for burst in bursts:
            publish(journal, *(str(n) for n in range(burst)))
            await asyncio.sleep(0)
        times = [e.time_nano for _, e in journal._recent] or [1]
        since = times[min(first, len(times) - 1)]
        until = times[min(last, len(times) - 1)]
        if since <= until:
            seen = [e.time_nano async for e in journal.follow(since, until, everything)]
            assert seen == [t for t in times if since <= t <= until and sum(bursts)]
        database.close()

    asyncio.run(check())
