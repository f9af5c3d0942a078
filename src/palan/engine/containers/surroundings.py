"""The few things that the room of containers needs from the rest of the engine."""

import asyncio
from typing import Any, Protocol

from palan.engine.background import Background
from palan.engine.config import EngineConfig
from palan.engine.events import Publisher
from palan.engine.machine import Machine, Runtimes
from palan.engine.networks import Networks
from palan.engine.paths import Paths
from palan.store.database import Database


__all__ = ["Surroundings"]


class Surroundings(Background, Protocol):
    """The engine."""

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now; some of it changes while the engine runs."""

    @property
    def db(self) -> Database:
        """The database."""

    @property
    def paths(self) -> Paths:
        """The paths of the engine's files."""

    @property
    def events(self) -> Publisher:
        """The journal of events."""

    @property
    def machine(self) -> Machine:
        """The facts about this machine."""

    @property
    def runtimes(self) -> Runtimes:
        """The OCI runtimes and conmon."""

    @property
    def images(self) -> Any:
        """The images."""

    @property
    def volumes(self) -> Any:
        """The volumes."""

    @property
    def networks(self) -> Networks:
        """The networks."""

    @property
    def exec(self) -> Any:
        """The execs."""

    @property
    def logs(self) -> Any:
        """The logs of containers, and the drivers that send them elsewhere."""

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the engine stops."""
