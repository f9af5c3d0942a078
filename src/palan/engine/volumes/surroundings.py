"""Protocols of what the volumes need from the rest of the engine."""

from pathlib import Path
from typing import Protocol

from palan.engine.background import Background
from palan.engine.events import Publisher
from palan.plugins import PluginRegistry
from palan.store.database import Database


__all__ = ["Surroundings", "VolumePaths"]


class VolumePaths(Protocol):
    """The directories in which volumes of the driver ``local`` are kept."""

    @property
    def volumes(self) -> Path:
        """The directory that has one directory for each volume."""

    @property
    def set_aside(self) -> Path:
        """The directory on the same file system for those that no row describes."""

    @property
    def tmp(self) -> Path:
        """A directory on the same file system, emptied when the engine starts."""


class Surroundings(Background, Protocol):
    """The parts of the engine that the volumes use."""

    @property
    def db(self) -> Database:
        """The database with the rows."""

    @property
    def paths(self) -> VolumePaths:
        """The directories."""

    @property
    def events(self) -> Publisher:
        """The event journal."""

    @property
    def drivers(self) -> PluginRegistry:
        """The plugins of other programs."""
