"""The event journal, which is kept in the database and can be followed live.

An event gets its number and time in memory, is queued for the database and wakes the
followers.  A follower is only a position in the journal: it continues from memory, or
from the database if it has fallen behind.  A slow client therefore costs nothing, and
loses only events that the bounded journal no longer has; their number is reported
in-band (``daemon``/``events-lost``).
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Final, Protocol

import msgspec

from palan.api.system import EventActor, EventMessage
from palan.store.database import Database


__all__ = ["SCHEMA", "EventJournal", "Publisher"]

SCHEMA: Final = (
    (
        "CREATE TABLE IF NOT EXISTS events"
        " (number INTEGER PRIMARY KEY, time_nano INTEGER NOT NULL, event BLOB NOT NULL)"
    ),
    "CREATE INDEX IF NOT EXISTS events_by_time ON events (time_nano)",
)

KEPT: Final = 100_000
"""Events kept in the database; some 30 MB."""

KEPT_FOR: Final = 7 * 24 * 3600 * 1_000_000_000
"""Nanoseconds that events are kept in the database: command lines of execs may contain secrets."""

KEPT_BYTES: Final = 128 * 2**20
"""The size of the events kept in the database: one event contains all labels of its object."""

IN_MEMORY: Final = 1_024
BYTES_IN_MEMORY: Final = 2 * 2**20
PAGE: Final = 512

_TRIM_EVERY: Final = 1_000
_TRIM_AFTER: Final = 3600 * 1_000_000_000
"""Events, and nanoseconds, after which the journal is trimmed by number and age again."""

_TRIM_BYTES: Final = 16 * 2**20
"""Bytes of events after which the journal is trimmed by size again."""

Trim = Callable[[sqlite3.Connection, int, int], None]

EventTest = Callable[[EventMessage], bool]


class Publisher(Protocol):
    """The journal, as far as rooms that only publish events need it."""

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str], /) -> None:
        """Record an event, see :meth:`EventJournal.publish`."""


class EventJournal:
    """The events of an engine, in order."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(EventMessage).decode
        last: tuple[int | None, int | None] = database.read(
            lambda c: c.execute("SELECT max(number), max(time_nano) FROM events").fetchone()
        )
        self._number, self._time = last[0] or 0, last[1] or 0
        self._recent: deque[tuple[int, EventMessage]] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._untrimmed = 0
        self._trimmed = 0
        self._news = asyncio.Event()
        self.followers = 0

    def publish(
        self,
        kind: str,
        action: str,
        actor: str,
        attributes: Mapping[str, str],
        *,
        scope: str = "local",
    ) -> None:
        """Record an event.

        To commit it together with the change that it reports, publish it just before the change
        is saved, without an ``await`` in between; see :meth:`palan.store.database.Database.post`.

        Args:
            kind: the kind of object: ``container``, ``image``, ``network``, ...
            action: Docker's word for the event (``start``, ``die``, ``exec_create: sh``).
            actor: the id or name of the object.
            attributes: its labels and further attributes of the action.
            scope: ``local``, or ``swarm`` for an event that a whole swarm sees.
        """
        # Times are unique, so that `since` with the time of the last event seen plus
        # one nanosecond neither misses nor repeats an event.
        self._time = max(time.time_ns(), self._time + 1)
        self._number += 1
        event = EventMessage(
            type=kind,
            action=action,
            actor=EventActor(id=actor, attributes=dict(attributes)),
            scope=scope,
            time=self._time // 1_000_000_000,
            time_nano=self._time,
        )
        row = (self._number, self._time, self._encode(event))
        self._remember(event, len(row[2]))
        trims = self._due_trims(len(row[2]))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO events VALUES (?, ?, ?)", row)
            for trim in trims:
                trim(connection, row[0], row[1])

        self._database.post(write)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _remember(self, event: EventMessage, size: int) -> None:
        """Keep an event in memory for followers, and discard the oldest ones."""
        self._recent.append((self._number, event))
        self._sizes.append(size)
        self._bytes += size
        while len(self._recent) > IN_MEMORY or self._bytes > BYTES_IN_MEMORY:
            self._recent.popleft()
            self._bytes -= self._sizes.popleft()

    def _due_trims(self, size: int) -> list[Trim]:
        """Return how the journal in the database is to be trimmed after an event of this size."""
        due: list[Trim] = []
        if not self._number % _TRIM_EVERY or self._time >= self._trimmed + _TRIM_AFTER:
            self._trimmed = self._time
            due.append(_trim_by_age)
        self._untrimmed += size
        if self._untrimmed >= _TRIM_BYTES:
            self._untrimmed = 0
            due.append(_trim_by_size)
        return due

    async def follow(
        self, since: int | None, until: int | None, test: EventTest
    ) -> AsyncGenerator[EventMessage, None]:
        """Yield the events since a time, future ones included, that pass ``test``.

        Args:
            since: nanoseconds since the epoch; None for future events only, or, if
                ``until`` is given, for all events in the journal.
            until: nanoseconds since the epoch at which to end; None for never.
            test: a predicate that selects events.
        """
        self.followers += 1
        try:
            async for event in self._follow(since, until):
                if test(event):
                    yield event
        finally:
            self.followers -= 1

    async def _follow(self, since: int | None, until: int | None) -> AsyncIterator[EventMessage]:
        if since is None and until is not None:
            since = 0  # an end without a beginning: from the first event in the journal
        position = self._number if since is None else await self._before(since)
        while True:
            news = self._news
            while position < self._number:
                page = await self._page(position)
                if not page:
                    position = self._number  # the rows are gone, and no later event shows how many
                    break
                for number, event in page:
                    if number > position + 1:
                        yield self._lost(number - position - 1, event)
                    position = number
                    if until is not None and event.time_nano > until:
                        return
                    yield event
            if until is None:
                await news.wait()
                continue
            left = (until - time.time_ns()) / 1e9
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)

    async def _before(self, since: int) -> int:
        """Return the number of the last event before ``since``."""

        def find(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT min(number) FROM events WHERE time_nano >= ?", (since,)
            ).fetchone()
            return self._number if row[0] is None else int(row[0]) - 1

        return await self._database.run(find)

    async def _page(self, position: int) -> list[tuple[int, EventMessage]]:
        """Return the next events after ``position``; empty only if the rows are gone."""
        if self._recent and self._recent[0][0] <= position + 1:
            start = position + 1 - self._recent[0][0]
            return [self._recent[i] for i in range(start, len(self._recent))]

        def read(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
            rows, size = [], 0
            for row in connection.execute(
                "SELECT number, event FROM events WHERE number > ? ORDER BY number LIMIT ?",
                (position, PAGE),
            ):
                rows.append(row)
                size += len(row[1])
                if size > BYTES_IN_MEMORY:
                    break
            return rows

        page = [(number, self._decode(row)) for number, row in await self._database.run(read)]
        return page or list(self._recent)  # on a full disk no row was written

    @staticmethod
    def _lost(count: int, before: EventMessage) -> EventMessage:
        return EventMessage(
            type="daemon",
            action="events-lost",
            actor=EventActor(id="", attributes={"count": str(count)}),
            scope="local",
            time=before.time,
            time_nano=before.time_nano,
        )


def _trim_by_age(connection: sqlite3.Connection, number: int, now: int) -> None:
    """Delete the events that are too old or too many, given the newest one."""
    connection.execute("DELETE FROM events WHERE number <= ?", (number - KEPT,))
    connection.execute("DELETE FROM events WHERE time_nano < ?", (now - KEPT_FOR,))


def _trim_by_size(connection: sqlite3.Connection, _number: int, _now: int) -> None:
    """Delete the oldest events, so that the others are not too large together."""
    connection.execute(
        "DELETE FROM events WHERE number <= (SELECT max(number) FROM (SELECT number,"
        " sum(length(event)) OVER (ORDER BY number DESC) AS total FROM events) WHERE total > ?)",
        (KEPT_BYTES,),
    )
