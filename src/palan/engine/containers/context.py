"""The state that the operations on containers share, and what they use of the engine."""

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import structlog

from palan.engine.config import EngineConfig
from palan.engine.containers.container import Container
from palan.engine.containers.health import HealthRecord
from palan.engine.containers.oom import MemoryWatches, note_out_of_memory
from palan.engine.containers.present_directories import PresentDirectories
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.registry import ContainerRegistry
from palan.engine.containers.surroundings import (
    ContainerExecs,
    ContainerImages,
    ContainerLogs,
    ContainerNetworks,
    ContainerVolumes,
    Surroundings,
)
from palan.engine.events import Publisher
from palan.engine.machine import Machine, Runtimes
from palan.engine.paths import Paths
from palan.store.documents import Documents


__all__ = ["SCHEMA", "ContainerContext"]

P = ParamSpec("P")
T = TypeVar("T")

_ID: Final = re.compile(r"[0-9a-f]{64}")

_CONTAINERS: Final = Documents("containers", ContainerRecord)
_HEALTH: Final = Documents("health", HealthRecord)
"""Apart from the rows of the containers, which are larger and change less often."""

SCHEMA: Final = (*_CONTAINERS.schema, *_HEALTH.schema)


class ContainerContext:
    """The table of the containers, their rows, and what they use of the engine.

    Args:
        surroundings: the engine, whose rooms may be created later than this context.

    Attributes:
        registry: the table of the containers.
        recovered: set once the rows and the machine agree; policies start nothing before.
        log: the log of this room.
        memory_watches: the watches on the memory of running containers.
        paths: the paths of the engine's files.
        present_directories: working directories that images have.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.registry = ContainerRegistry()
        self.recovered = asyncio.Event()
        self.log: Any = structlog.get_logger("palan.engine.containers")
        self.paths: Paths = surroundings.paths
        self.present_directories = PresentDirectories()
        self.memory_watches = MemoryWatches(partial(note_out_of_memory, self))

    # ---- rows --------------------------------------------------------------------

    def load(self) -> Iterator[Container]:
        """Read the rows into the registry."""
        for key, record in _CONTAINERS.load(self._surroundings.db):
            if self._has_valid_id(key, record):
                self.registry.add(Container(record))
        for key, health in _HEALTH.load(self._surroundings.db):
            if (container := self.registry.find(key)) is not None:
                container.health = health
        return iter(self.registry)

    def _has_valid_id(self, key: str, record: ContainerRecord) -> bool:
        """Whether a row has an id; one that is damaged in one of its two places is mended."""
        if key == record.id and _ID.fullmatch(key):
            return True
        for name in (key, record.id):
            if _ID.fullmatch(name) and self.paths.container(name).is_dir():
                self.log.error(
                    "the id of a container was damaged and is mended", key=key, id=record.id
                )
                record.id = name
                if name != key:
                    _CONTAINERS.post_delete(self._surroundings.db, key)
                _CONTAINERS.post(self._surroundings.db, name, record)
                return True
        self.log.error("the row of a container is damaged and ignored", key=key, id=record.id)
        return False

    async def save(self, container: Container) -> None:
        """Write the container's row; committed on return."""
        await self.save_record(container.record)

    async def save_record(self, record: ContainerRecord) -> None:
        """Write the row of a container that may not exist yet; committed on return."""
        await _CONTAINERS.put(self._surroundings.db, record.id, record)

    def save_health(self, container: Container) -> None:
        """Write the results of the container's health checks, soon."""
        if container.health is not None:
            _HEALTH.post(self._surroundings.db, container.id, container.health)

    async def delete(self, record: ContainerRecord) -> None:
        """Delete the rows of a container; committed on return."""
        _HEALTH.post_delete(self._surroundings.db, record.id)
        await _CONTAINERS.delete(self._surroundings.db, record.id)

    # ---- the rest of the engine --------------------------------------------------

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now; some of it changes while the engine runs."""
        return self._surroundings.config

    @property
    def events(self) -> Publisher:
        """The journal of events."""
        return self._surroundings.events

    @property
    def machine(self) -> Machine:
        """The facts about this machine."""
        return self._surroundings.machine

    @property
    def runtimes(self) -> Runtimes:
        """The OCI runtimes and conmon."""
        return self._surroundings.runtimes

    @property
    def images(self) -> ContainerImages:
        """The images."""
        return self._surroundings.images

    @property
    def volumes(self) -> ContainerVolumes:
        """The volumes."""
        return self._surroundings.volumes

    @property
    def networks(self) -> ContainerNetworks:
        """The networks."""
        return self._surroundings.networks

    @property
    def exec(self) -> ContainerExecs:
        """The execs."""
        return self._surroundings.exec

    @property
    def logs(self) -> ContainerLogs:
        """The logs of containers, and the drivers that send them elsewhere."""
        return self._surroundings.logs

    @property
    def stopping(self) -> asyncio.Event:
        """The event that is set when the engine stops."""
        return self._surroundings.stopping

    def spawn(self, work: Any, *, endless: bool = False) -> asyncio.Task[Any]:
        """Run something without waiting for it; see :class:`Surroundings`."""
        return self._surroundings.spawn(work, endless=endless)

    async def slowly(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may take seconds in one of a few threads for such work."""
        return await self._surroundings.slowly(function, *args, **kwargs)
