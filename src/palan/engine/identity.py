"""The engine's id, which ``GET /info`` shows: a UUID that is generated once."""

import uuid
from typing import Final

from palan.store.database import Database


__all__ = ["SCHEMA", "engine_id"]

SCHEMA: Final = ("CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)",)


def engine_id(database: Database) -> str:
    """Return the id; generate it if the database has none.  Only while the engine starts."""
    row = database.read(lambda c: c.execute("SELECT id FROM identity").fetchone())
    if row:
        return str(row[0])
    made = str(uuid.uuid4())
    database.read(lambda c: c.execute("INSERT INTO identity VALUES (?)", (made,)))
    return made
