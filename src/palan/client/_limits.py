"""The time limit of a call."""

import enum
from typing import Final


__all__ = ["CLIENT", "Limit"]


class _Client(enum.Enum):
    """The type of ``CLIENT``, a default other than None, as None means "no limit"."""

    CLIENT = "the client's timeout"

    def __repr__(self) -> str:
        return "CLIENT"


CLIENT: Final = _Client.CLIENT
"""The client's own ``timeout``, or no limit for calls that take long by nature."""

Limit = float | _Client | None
"""Seconds; None is no limit."""
