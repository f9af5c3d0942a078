"""The transactions of a database, as sets of what each of them changed."""

import json
import re

from palan.store.database import Database


_EVENT = re.compile(r"INSERT INTO events VALUES \(\d+, \d+, x'([0-9a-f]*)'\)", re.IGNORECASE)
_CHANGE = re.compile(r"(INSERT|DELETE)(?: OR \w+)? (?:INTO|FROM) (\w+)")


class Commits:
    """Records the committed transactions of a database.

    Attributes:
        transactions: in order, what each changed: ``insert volumes``, ``delete volumes``,
            ``event volume create``.
    """

    def __init__(self, database: Database) -> None:
        self.transactions: list[set[str]] = []
        self._open: set[str] = set()
        database._connection.set_trace_callback(self._trace)

    def _trace(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self._open = set()
        elif statement == "COMMIT":
            self.transactions.append(self._open)
        elif event := _EVENT.match(statement):
            told = json.loads(bytes.fromhex(event[1]))
            self._open.add(f"event {told['Type']} {told['Action']}")
        elif (change := _CHANGE.match(statement)) and change[2] != "events":  # no trimming
            self._open.add(f"{change[1].lower()} {change[2]}")

    def together(self, *changes: str) -> bool:
        """Whether one transaction made all these changes."""
        return any(set(changes) <= made for made in self.transactions)
