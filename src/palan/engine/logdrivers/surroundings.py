"""Protocols of what the log drivers need from the rest of the engine."""

import asyncio
from pathlib import Path
from typing import Protocol

from palan.engine.background import Background
from palan.store.database import Database


__all__ = ["LogPaths", "Surroundings"]


class LogPaths(Protocol):
    """The paths of logs."""

    def log(self, container_id: str, /) -> Path:
        """Return the path of a container's newest log file."""


class Surroundings(Background, Protocol):
    """The parts of the engine that the log drivers use."""

    @property
    def db(self) -> Database:
        """The database, for positions in logs."""

    @property
    def paths(self) -> LogPaths:
        """The paths of logs."""

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the engine stops."""
