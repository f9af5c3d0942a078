"""How long a call may take."""

import enum
from typing import Final


__all__ = ["CLIENT", "Limit"]


class _Client(enum.Enum):
    """A type of one value, so that None can mean "for ever"."""

    CLIENT = "the client's timeout"

    def __repr__(self) -> str:
        return "CLIENT"


CLIENT: Final = _Client.CLIENT
"""The client's own ``timeout``, or none for what takes long by nature."""

Limit = float | _Client | None
"""Seconds; None is for ever."""
