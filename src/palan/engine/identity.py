"""The engine's id: made once and kept, as ``GET /info`` shows it."""

import uuid
from typing import Final

from palan.store.database import Database


__all__ = ["SCHEMA", "engine_id"]

SCHEMA: Final = ("CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)",)


def engine_id(database: Database) -> str:
    """The id, made if there is none yet (only while the engine starts)."""
    row = database.read(lambda c: c.execute("SELECT id FROM identity").fetchone())
    if row:
        return str(row[0])
    made = str(uuid.uuid4())
    database.read(lambda c: c.execute("INSERT INTO identity VALUES (?)", (made,)))
    return made
