"""The directories of execs: removed when their processes have ended, also by a later engine.

An exec that an engine before us has started goes on under its conmon.  Nobody can ask for
it by its id any more, but what it has of the disk must go when it ends.
"""

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from palan.engine.containers.container import Container
from palan.engine.exec.probe import kill_probe
from palan.host import processes
from palan.host.conmon import Found
from palan.host.filesystem import remove_tree
from palan.host.monitored import closing


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["adopt_execs", "remove_directory"]


async def remove_directory(container: Container, directory: Path) -> None:
    """Remove what an exec that has ended had on disk."""
    # An exec often ends because its container does, and then all goes at once.
    async with container.lock:
        if container.running:
            await asyncio.to_thread(remove_tree, directory)


def adopt_execs(engine: "Engine", container: Container, monitors: Collection[Found]) -> None:
    """Look after the execs of a running container that an engine before us has started.

    Args:
        engine: the engine.
        container: the container.
        monitors: the conmons of its execs that still run.
    """
    execs = engine.paths.bundle(container.id) / "execs"
    # Where it is follows from the ids, whatever a process may say of itself.
    running = {execs / monitor.uuid: monitor for monitor in monitors}
    if execs.is_dir():
        for directory in execs.iterdir():
            if directory not in running:
                engine.spawn(remove_directory(container, directory))
    for directory, monitor in running.items():
        kill_probe(directory, monitor.pid)
        engine.spawn(_outlive(container, monitor, directory), endless=True)


async def _outlive(container: Container, monitor: Found, directory: Path) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        await closing(processes.open_pidfd(monitor.pid, monitor.start_time))
    await remove_directory(container, directory)
