"""Protocols of what this room needs from the rest of the engine."""

from pathlib import Path
from typing import Protocol


__all__ = ["MachinePaths"]


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
