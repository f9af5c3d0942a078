"""Tables of JSON documents, one row per object.

The engine keeps all objects in memory. It only writes and deletes rows, and reads all of them
at start.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from palan.store.database import Change, Database


__all__ = ["Documents"]

R = TypeVar("R", bound=msgspec.Struct)


class Documents(Generic[R]):
    """The table of one kind of object, with the object's id as key."""

    def __init__(self, table: str, kind: type[R]) -> None:
        """Define the table ``table`` with records of the type ``kind``."""
        self.schema = (
            f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, record BLOB NOT NULL)",
        )
        # Not "INSERT OR REPLACE", which would change the row's position in the order.
        self._put = (
            f"INSERT INTO {table} (id, record) VALUES (?, ?)"  # noqa: S608 - our own name
            " ON CONFLICT (id) DO UPDATE SET record = excluded.record"
        )
        self._delete = f"DELETE FROM {table} WHERE id = ?"  # noqa: S608 - our own name
        self._select = f"SELECT id, record FROM {table} ORDER BY rowid"  # noqa: S608 - our own name
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(kind)

    def load(self, database: Database) -> Iterator[tuple[str, R]]:
        """Return all records, oldest first; only while the engine starts."""
        yield from database.read(
            lambda connection: [
                (key, self._decoder.decode(data)) for key, data in connection.execute(self._select)
            ]
        )

    async def put(self, database: Database, key: str, record: R) -> None:
        """Save the present state of a record; committed on return."""
        await database.run(self._save_change(key, record))

    def post(self, database: Database, key: str, record: R) -> None:
        """Queue the present state of a record for saving, and return at once."""
        database.post(self._save_change(key, record))

    async def delete(self, database: Database, key: str) -> None:
        """Delete a record; committed on return."""
        await database.run(self._delete_change(key))

    def post_delete(self, database: Database, key: str) -> None:
        """Queue the deletion of a record, and return at once."""
        database.post(self._delete_change(key))

    def _save_change(self, key: str, record: R) -> Change:
        data = self._encoder.encode(record)
        return lambda connection: connection.execute(self._put, (key, data))

    def _delete_change(self, key: str) -> Change:
        return lambda connection: connection.execute(self._delete, (key,))
