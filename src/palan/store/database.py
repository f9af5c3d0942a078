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
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar


__all__ = ["Database"]

T = TypeVar("T")


class Database:
    """A SQLite file and the thread that owns its connection."""

    def __init__(self, path: Path, schema: Iterable[str]) -> None:
        """Open the file, making it and its tables where they are missing.

        Args:
            path: the database file; its directory must exist.
            schema: ``CREATE ... IF NOT EXISTS`` statements of all rooms.

        Raises:
            sqlite3.DatabaseError: the file is damaged or no database.
        """
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        # Opened by the caller, before there is a loop that could be blocked; used by
        # the store's thread only from here on.
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        for statement in schema:
            self._connection.execute(statement)

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` right here; only while the engine starts, before :meth:`run`."""
        return function(self._connection)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` in one transaction and return its value once it is committed.

        A cancelled caller does not cancel the transaction.  Whatever ``function``
        raises rolls it back and is raised here.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, self._transaction, function))

    def post(self, function: Callable[[sqlite3.Connection], object]) -> None:
        """Queue a change that nobody waits for; it keeps its place among the others."""
        self._thread.submit(self._transaction, function)

    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            value = function(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk, for one, has rolled it back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return value

    def close(self) -> None:
        """Finish what is queued and close the file; idempotent."""
        self._thread.shutdown(wait=True)
        self._connection.close()
