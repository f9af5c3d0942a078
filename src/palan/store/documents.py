"""Tables of documents: one row per object, its record as JSON.

The engine's rooms keep their objects in memory and only ever need to put, remove
and, at start, read all of them.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from palan.store.database import Change, Database


__all__ = ["Documents"]

R = TypeVar("R", bound=msgspec.Struct)


class Documents(Generic[R]):
    """The table of one kind of object, keyed by its id."""

    def __init__(self, table: str, kind: type[R]) -> None:
        """Describe the table ``table`` holding records of ``kind``."""
        self.schema = (
            f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, record BLOB NOT NULL)",
        )
        # Not "INSERT OR REPLACE": that gives the row a new place in the order.
        self._put = (
            f"INSERT INTO {table} (id, record) VALUES (?, ?)"  # noqa: S608 - our own name
            " ON CONFLICT (id) DO UPDATE SET record = excluded.record"
        )
        self._delete = f"DELETE FROM {table} WHERE id = ?"  # noqa: S608 - our own name
        self._select = f"SELECT id, record FROM {table} ORDER BY rowid"  # noqa: S608 - our own name
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(kind)

    def load(self, database: Database) -> Iterator[tuple[str, R]]:
        """All records, oldest first (only while the engine starts)."""
        yield from database.read(
            lambda connection: [
                (key, self._decoder.decode(data)) for key, data in connection.execute(self._select)
            ]
        )

    async def put(self, database: Database, key: str, record: R) -> None:
        """Write the record as it is now; committed on return."""
        await database.run(self._putting(key, record))

    def post(self, database: Database, key: str, record: R) -> None:
        """Write the record as it is now, soon: nobody is told of it."""
        database.post(self._putting(key, record))

    async def delete(self, database: Database, key: str) -> None:
        """Remove the record; committed on return."""
        await database.run(self._deleting(key))

    def post_delete(self, database: Database, key: str) -> None:
        """Remove the record together with what is committed next."""
        database.post(self._deleting(key))

    def _putting(self, key: str, record: R) -> Change:
        data = self._encoder.encode(record)
        return lambda connection: connection.execute(self._put, (key, data))

    def _deleting(self, key: str) -> Change:
        return lambda connection: connection.execute(self._delete, (key,))
