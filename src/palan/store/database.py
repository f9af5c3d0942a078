"""The engine's database: one SQLite file, written by one thread.

Every change is a function that runs inside one transaction on the store's own thread. It is
committed before :meth:`Database.run` returns, so a change that was acknowledged to a client
survives a SIGKILL. The file is read when the engine starts; later reads are served from memory.

The journal mode is WAL and ``synchronous`` is NORMAL: a killed engine loses nothing, and a
power failure at most the last transactions, never the consistency of the file. Each part of
the engine has its own tables and passes its schema to the constructor.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from palan.api.errors import InternalError
from palan.store.reserve import Reserve


__all__ = ["Change", "DamagedState", "Database", "StoreFailure"]

T = TypeVar("T")

Change = Callable[[sqlite3.Connection], object]

_DISK_ERRORS: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)


_FULL_DISK_ERRORS: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class StoreFailure(InternalError):
    """The database cannot be written, for example on a full disk; nothing has changed."""


class DamagedState(Exception):
    """The database file is damaged."""


class Database:
    """An SQLite file and the thread that owns its connection."""

    def __init__(self, path: Path, schema: Iterable[str]) -> None:
        """Open the file; create it and its tables if they are missing.

        Args:
            path: the database file; its directory must exist.
            schema: ``CREATE ... IF NOT EXISTS`` statements of all tables.

        Raises:
            DamagedState: the file is damaged or not a database.
            StoreFailure: the disk is full, read-only or fails.
        """
        self._posted: list[Change] = []
        self._flushed: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        _restrict_mode(path)
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        # Opened in the caller's thread, before an event loop runs that could be blocked; used only
        # in the store's thread from here on.
        self._path = path
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            with self._reporting_damage():
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                for statement in schema:
                    self._connection.execute(statement)
        except BaseException:
            self._connection.close()
            raise

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``function`` in this thread; only while the engine starts, before :meth:`run`.

        Raises:
            DamagedState: the data that it reads is damaged.
        """
        with self._reporting_damage():
            return function(self._connection)

    @contextlib.contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if _result_code(error) in _DISK_ERRORS:
                raise StoreFailure(f"unable to open {self._path}: {error}") from error
            raise DamagedState(
                f"the state in {self._path} is damaged ({error}): restore the file from a copy;"
                " without it the engine has no record of its containers and images"
            ) from error

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``function`` in one transaction and return its value once it is committed.

        Cancelling the caller does not cancel the transaction. An exception of ``function`` rolls
        the transaction back and is raised here.

        Raises:
            StoreFailure: the disk is full or fails.
        """
        loop = asyncio.get_running_loop()
        posted, self._posted = self._posted, []
        work = partial(self._transaction, function, posted)
        try:
            return await asyncio.shield(loop.run_in_executor(self._thread, work))
        except sqlite3.OperationalError as error:
            if _result_code(error) in _DISK_ERRORS:
                raise StoreFailure(f"unable to write the state of the engine: {error}") from error
            raise

    def post(self, function: Change) -> None:
        """Queue a change without waiting for it; queued changes are made in order.

        The next call of :meth:`run` takes queued changes into its transaction. So a caller that
        calls it without an ``await`` in between commits an event and the change that it reports
        together: after a crash both are there, or neither is. Without such a call they are
        committed soon; see :meth:`settled`.
        """
        self._posted.append(function)
        if len(self._posted) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    async def settled(self) -> None:
        """Wait until the changes queued so far are committed, or have failed."""
        self._flush()
        if self._flushed is not None and not self._flushed.done():
            # Cancelling the caller must not cancel the transaction.
            with contextlib.suppress(sqlite3.Error):
                await asyncio.shield(asyncio.wrap_future(self._flushed))

    def _flush(self) -> None:
        posted, self._posted = self._posted, []
        if posted:
            self._flushed = self._thread.submit(self._transaction, _no_change, posted)

    def _transaction(
        self, function: Callable[[sqlite3.Connection], T], posted: Sequence[Change]
    ) -> T:
        try:
            value = self._attempt(function, posted)
        except BaseException as error:
            if _result_code(error) in _FULL_DISK_ERRORS and self._reserve.release():
                return self._transaction(function, posted)
            if posted and function is not _no_change:  # the queued changes did not fail
                self._transaction(_no_change, posted)
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
            # An error such as a full disk has already rolled it back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return value

    def _apply(self, change: Change) -> None:
        """Make a queued change; if it fails, the others are made all the same."""
        self._connection.execute("SAVEPOINT posted")
        try:
            change(self._connection)
        except sqlite3.Error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO posted")
        self._connection.execute("RELEASE posted")

    def close(self) -> None:
        """Write what is queued and close the file; idempotent."""
        with contextlib.suppress(RuntimeError):  # already closed
            self._flush()
        self._thread.shutdown(wait=True)
        self._connection.close()


def _result_code(error: BaseException) -> int:
    """Return SQLite's primary result code of an error; the higher bits only extend it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _restrict_mode(path: Path) -> None:
    """Set the file's mode to 0600, because it contains the environments of containers.

    SQLite gives its companion files the same mode.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm", "-reserve"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).chmod(0o600)


def _no_change(_connection: sqlite3.Connection) -> None:
    """Change nothing; a transaction with this function writes only the queued changes."""
