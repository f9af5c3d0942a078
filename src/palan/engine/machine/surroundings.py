"""Protocols of what this room needs from the rest of the engine."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol


__all__ = ["MachinePaths", "Spawn"]


class MachinePaths(Protocol):
    """The directories in which this room keeps files."""

    @property
    def data_root(self) -> Path:
        """The directory of what outlives a reboot."""

    @property
    def exec_root(self) -> Path:
        """The directory of what a reboot ends."""

    @property
    def runtime(self) -> Path:
        """The directory of the OCI runtimes' state directories."""

    @property
    def seccomp(self) -> Path:
        """The directory of compiled seccomp filters."""


class Spawn(Protocol):
    """A function that runs coroutines in the background."""

    def __call__(self, work: Coroutine[Any, Any, None], /) -> Any:
        """Run a coroutine, and log what it raises."""
