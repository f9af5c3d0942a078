"""The engine's state: one SQLite file, written by one thread.

Every change of durable state is a function that runs inside one transaction on the
store's own thread; it is committed before :meth:`Database.run` returns, so whoever
acknowledges afterwards acknowledges something that a SIGKILL can no longer undo.
Reads of the engine come from memory: the file is read when the engine starts.

The journal mode is WAL and ``synchronous`` is NORMAL: a killed engine loses nothing
and a power cut at most the last moments, never the consistency of the file.  Rooms
keep their own tables; each gives its schema to the constructor.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from palan.api.errors import InternalError
from palan.store.reserve import Reserve


__all__ = ["Change", "DamagedState", "Database", "StoreFailure"]

T = TypeVar("T")

Change = Callable[[sqlite3.Connection], object]

_OF_THE_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)


_OF_FULL_DISKS: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class StoreFailure(InternalError):
    """The state can't be written, such as to a full disk; nothing of it has changed."""


class DamagedState(Exception):
    """What is in the file is not what was written there."""


class Database:
    """A SQLite file and the thread that owns its connection."""

    def __init__(self, path: Path, schema: Iterable[str]) -> None:
        """Open the file, making it and its tables where they are missing.

        Args:
            path: the database file; its directory must exist.
            schema: ``CREATE ... IF NOT EXISTS`` statements of all rooms.

        Raises:
            DamagedState: the file is damaged or no database.
        """
        self._posted: list[Change] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        _close_to_others(path)
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        # Opened by the caller, before there is a loop that could be blocked; used by
        # the store's thread only from here on.
        self._path = path
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        with self._intact():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            for statement in schema:
                self._connection.execute(statement)

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` right here; only while the engine starts, before :meth:`run`.

        Raises:
            DamagedState: what it reads is damaged.
        """
        with self._intact():
            return function(self._connection)

    @contextlib.contextmanager
    def _intact(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if _kind(error) in _OF_THE_DISK:
                raise
            raise DamagedState(
                f"the state in {self._path} is damaged ({error}): put back a copy of the file;"
                " an engine without it knows none of its containers and images"
            ) from error

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` in one transaction and return its value once it is committed.

        A cancelled caller does not cancel the transaction.  Whatever ``function``
        raises rolls it back and is raised here.

        Raises:
            StoreFailure: the disk is full, or fails.
        """
        loop = asyncio.get_running_loop()
        posted, self._posted = self._posted, []
        work = partial(self._transaction, function, posted)
        try:
            return await asyncio.shield(loop.run_in_executor(self._thread, work))
        except sqlite3.OperationalError as error:
            if _kind(error) in _OF_THE_DISK:
                raise StoreFailure(f"unable to write the state of the engine: {error}") from error
            raise

    def post(self, function: Change) -> None:
        """Queue a change that nobody waits for; it keeps its place among the others.

        When :meth:`run` is called before the loop's next turn, both are one transaction: an
        event and the change that it tells of are either both there after a crash, or neither.
        """
        self._posted.append(function)
        if len(self._posted) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        posted, self._posted = self._posted, []
        if posted:
            self._thread.submit(self._transaction, _nothing, posted)

    def _transaction(
        self, function: Callable[[sqlite3.Connection], T], posted: Sequence[Change]
    ) -> T:
        try:
            value = self._attempt(function, posted)
        except BaseException as error:
            if _kind(error) in _OF_FULL_DISKS and self._reserve.release():
                return self._transaction(function, posted)
            if posted and function is not _nothing:  # what was posted is not to blame
                self._transaction(_nothing, posted)
            raise
        self._reserve.restore()
        return value

    def _attempt(self, function: Callable[[sqlite3.Connection], T], posted: Sequence[Change]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for change in posted:
                self._apply(change)
            value = function(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk, for one, has rolled it back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return value

    def _apply(self, change: Change) -> None:
        """Make a posted change; one that fails harms no other."""
        self._connection.execute("SAVEPOINT posted")
        try:
            change(self._connection)
        except sqlite3.Error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO posted")
        self._connection.execute("RELEASE posted")

    def close(self) -> None:
        """Finish what is queued and close the file; idempotent."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._flush()
        self._thread.shutdown(wait=True)
        self._connection.close()


def _kind(error: BaseException) -> int:
    """What is the matter, by SQLite's primary result codes; what is above says more about it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _close_to_others(path: Path) -> None:
    """Make the file one that only its owner reads: it has the environments of containers.

    SQLite gives the files beside it the same permissions.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm", "-reserve"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).chmod(0o600)


def _nothing(_connection: sqlite3.Connection) -> None:
    """Change nothing more."""
