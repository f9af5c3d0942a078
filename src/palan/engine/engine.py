"""The engine: creates its rooms, starts and stops them.

A start *is* a recovery: the rows are read and compared with what is running, and what
no row accounts for is removed.  A stop leaves all containers running.

This is the composition root: rooms get what they need from here, as Protocols, and do
not know the class :class:`Engine`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from palan.engine.background import BackgroundWork
from palan.engine.builder import Builds
from palan.engine.config import EngineConfig
from palan.engine.containers import SCHEMA as CONTAINERS
from palan.engine.containers import Containers
from palan.engine.containers.merged_root import sweep_merged
from palan.engine.containers.mount_point_layer import make_mount_point_layer
from palan.engine.events import SCHEMA as EVENTS
from palan.engine.events import EventJournal
from palan.engine.exec import Execs
from palan.engine.identity import SCHEMA as IDENTITY
from palan.engine.identity import engine_id
from palan.engine.images import SCHEMA as IMAGES
from palan.engine.images import Images
from palan.engine.logdrivers.room import SCHEMA as LOGS
from palan.engine.logdrivers.room import Logs
from palan.engine.machine import Machine, Runtimes
from palan.engine.networks import SCHEMA as NETWORKS
from palan.engine.networks import Networks
from palan.engine.pending import PENDING
from palan.engine.plugins import Plugins
from palan.engine.swarm import OutsideSwarm
from palan.engine.system import System
from palan.engine.volumes import SCHEMA as VOLUMES
from palan.engine.volumes import Volumes
from palan.host.filesystem import remove_tree
from palan.host.mounts import ensure_shared, unmount, unmount_below
from palan.plugins import PluginPaths, PluginRegistry
from palan.store.database import DamagedState, Database


__all__ = ["Engine"]

P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """One engine; its rooms are attributes with the names of the API's groups.

    The caller holds the lock of the data root.

    Attributes:
        config: the configuration, which :meth:`reload` replaces.
        paths: the files and directories.
        db: the database.
        id: the engine's id.
        drivers: plugins of other programs, which provide volumes and networks.
        stopping: set when the engine stops; a task that sleeps should end then.
    """

    pending = PENDING

    def __init__(self, config: EngineConfig) -> None:
        """Open the database; :meth:`start` creates the rooms.

        Raises:
            DamagedState: the database is damaged, or missing although other files exist.
        """
        self.config = config
        self.paths = config.paths
        self.log: Any = structlog.get_logger("palan.engine")
        if self.paths.has_lost_its_rows():
            raise DamagedState(
                f"{self.paths.database} is missing or empty, but there are containers, images or"
                " volumes beside it, which an engine without it would delete: put back a copy of"
                " the file, or give up all of it with 'palan system reset'"
            )
        self.paths.prepare()
        self.db = Database(
            self.paths.database,
            (*IDENTITY, *EVENTS, *CONTAINERS, *LOGS, *IMAGES, *NETWORKS, *VOLUMES),
        )
        self.id = engine_id(self.db)
        # Plugins for this engine only take precedence.
        machine = PluginPaths()
        self.drivers = PluginRegistry(
            PluginPaths((self.paths.plugins, *machine.sockets), machine.specs)
        )
        self._background = BackgroundWork()
        self.stopping = self._background.stopping

    async def start(self) -> None:
        """Create the rooms, and recover; on return the engine is ready for requests."""
        self.loop = asyncio.get_running_loop()
        self.events = EventJournal(self.db)
        self.machine = Machine(self.config)
        self.runtimes = Runtimes(self.machine, self.config, self.paths, self)
        self.images = Images(self)
        self.volumes = Volumes(self)
        self.networks = Networks(self)
        self.containers = Containers(self)
        self.step_containers = self.containers.steps
        self.build = Builds(self)
        self.exec = Execs(self)
        self.logs = Logs(self, hostname=self.machine.facts.hostname)
        self.plugins = Plugins()
        self.swarm = self.nodes = self.services = self.tasks = OutsideSwarm()
        self.secrets = self.configs = self.swarm
        self.system = System(self)
        # Mounts below the exec root are shared with the mount namespaces of conmon, so
        # that an unmount in one is an unmount in the other.
        await asyncio.to_thread(ensure_shared, self.paths.exec_root)
        self._empty_tmp()
        await asyncio.to_thread(sweep_merged, self.paths.merged)
        make_mount_point_layer(self.paths.stubs, self.paths.tmp)
        await self.runtimes.probe()
        self.images.load_state()
        self.volumes.load()
        await self.containers.load()
        await self.images.collect()

    def _empty_tmp(self) -> None:
        """Remove unfinished files of a crash, in the background as they may be large."""
        # An image may be mounted here: a volume was being filled from it.
        unmount_below(self.paths.tmp.resolve())
        if leftovers := list(self.paths.tmp.iterdir()):
            self.spawn(asyncio.to_thread(_remove_all, leftovers))

    def spawn(self, work: Any, /, *, endless: bool = False) -> asyncio.Task[Any]:
        """Run a coroutine or future that no caller awaits, see :class:`Background`."""
        return self._background.spawn(work, endless=endless)

    async def slowly(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may take seconds, see :class:`Background`."""
        return await self._background.slowly(function, *args, **kwargs)

    async def reload(self, config: EngineConfig) -> None:
        """Apply a changed configuration, as made by :func:`palan.engine.config_load.reloaded`."""
        self.config = config
        self.events.publish("daemon", "reload", self.id, {"name": self.machine.facts.hostname})

    async def stop(self) -> None:
        """Stop tasks and close everything; containers keep running."""
        self._background.begin_stop()
        # First, as tasks that wait for a container's end would delay the stop.
        self.containers.release()
        self.exec.release()
        self.logs.close()
        await self._background.finish()
        self.networks.close()
        self.runtimes.close()
        self._background.close()
        self.db.close()
        if not any(c.running for c in self.containers.registry):
            await asyncio.to_thread(unmount, self.paths.exec_root, lazy=True)


def _remove_all(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
