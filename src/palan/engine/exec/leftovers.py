"""The directories of execs: removed when their processes have ended, also by a later engine.

An exec that an earlier engine started continues under its conmon.  Its id is no longer known
to clients, but its directory must be removed when it ends.
"""

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path

from palan.engine.exec.mark import kill_if_check
from palan.engine.exec.surroundings import Surroundings, Target
from palan.host import processes
from palan.host.conmon import RunningMonitor
from palan.host.filesystem import remove_tree
from palan.host.monitored import closing


__all__ = ["adopt_execs", "remove_directory"]


async def remove_directory(target: Target, directory: Path) -> None:
    """Remove the directory of an exec that has ended."""
    # An exec often ends because its container does, and then the whole bundle is removed.
    async with target.lock:
        if target.running:
            await asyncio.to_thread(remove_tree, directory)


def adopt_execs(engine: Surroundings, target: Target, monitors: Collection[RunningMonitor]) -> None:
    """Take over the execs of a running container that an earlier engine started.

    Args:
        engine: the rest of the engine.
        target: the container.
        monitors: the conmons of its execs that still run.
    """
    execs = engine.paths.bundle(target.id) / "execs"
    # The path follows from the ids, whatever a process may report of itself.
    running = {execs / monitor.uuid: monitor for monitor in monitors}
    if execs.is_dir():
        for directory in execs.iterdir():
            if directory not in running:
                engine.spawn(remove_directory(target, directory))
    for directory, monitor in running.items():
        kill_if_check(directory, monitor.pid)
        engine.spawn(_remove_after_end(target, monitor, directory), endless=True)


async def _remove_after_end(target: Target, monitor: RunningMonitor, directory: Path) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        await closing(processes.open_pidfd(monitor.pid, monitor.start_time))
    await remove_directory(target, directory)
