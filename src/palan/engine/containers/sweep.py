"""Taking away what no container accounts for, when the engine starts.

An engine that was killed leaves what it was making: a conmon whose container nobody was
told about, mounts, directories, cgroups.  All of it carries the container's id or lies
below a directory of that name.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from palan.engine.containers.context import ContainerContext
from palan.host import cgroups, processes
from palan.host.conmon import Found
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount_below
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure


__all__ = ["kill_strays", "sweep"]

_PATIENCE: Final = 5.0
_PAUSE: Final = 0.005


async def kill_strays(
    context: ContainerContext, alive: Collection[str], monitors: Collection[Found]
) -> set[str]:
    """End the conmons, and with them the processes, of starts that nobody was told about.

    Args:
        context: the context of the room.
        alive: ids of the containers that run.
        monitors: all conmons that run.

    Returns:
        the ids that were come across, of containers that may have left cgroups.
    """
    strays = [monitor for monitor in monitors if monitor.container not in alive]
    if strays:
        await asyncio.to_thread(_kill, strays)
    found = {stray.container for stray in strays}
    found.update(path.name for path in context.paths.bundles.iterdir())
    for runtime in context.runtimes.usable.values():
        for name in await asyncio.to_thread(runtime.containers):
            found.add(name)
            if name not in alive:
                await _delete(context, runtime, name)
    return found.difference(alive)


def _kill(strays: Collection[Found]) -> None:
    for stray in strays:
        # Stopped, a conmon starts nothing more, and adopts what its children leave behind.
        processes.kill(stray.pid, signal.SIGSTOP, started=stray.start_time)
    deadline = time.monotonic() + _PATIENCE
    for stray in strays:
        while (left := _family(stray)) and time.monotonic() < deadline:
            for pid in left:
                processes.kill(pid)
            time.sleep(_PAUSE)
        processes.kill(stray.pid, started=stray.start_time)
    for stray in strays:
        while processes.is_alive(stray.pid, stray.start_time) and time.monotonic() < deadline:
            time.sleep(_PAUSE)


def _family(stray: Found) -> list[int]:
    if not processes.is_alive(stray.pid, stray.start_time):
        return []
    return [pid for pid in processes.descendants(stray.pid) if processes.is_alive(pid)]


async def _delete(context: ContainerContext, runtime: OCIRuntime, name: str) -> None:
    try:
        await runtime.delete(name, force=True)
    except (OSError, TimeoutError, RuntimeFailure) as failure:
        # Its state was half written; what it had made is swept away later.
        context.log.debug("stale runtime state", id=name, reason=str(failure))
        await asyncio.to_thread(remove_tree, runtime.root / name)


def sweep(context: ContainerContext, suspects: Collection[str]) -> list[Path]:
    """Remove bundles, mounts, directories, exit files and cgroups that belong to nobody.

    Args:
        context: the context of the room.
        suspects: ids of containers that may have left cgroups.

    Returns:
        directories that are out of the way and may be large: to be removed when there is time.
    """
    paths = context.paths
    registry = context.registry
    ids = {c.id for c in registry}
    running = {c.id for c in registry if c.running}
    bundles = [path for path in paths.bundles.iterdir() if path.name not in running]
    # Also what is left of trying out a runtime.
    for bundle in (*bundles, *paths.exec_root.glob("probe-*")):
        with contextlib.suppress(FileNotFoundError):
            unmount_below(bundle.resolve())
            remove_tree(bundle)
    trash = [
        directory.rename(paths.tmp / f"swept-{directory.name}")
        for directory in list(paths.containers.iterdir())
        if directory.name not in ids
    ]
    for path in paths.exits.iterdir():
        # Exit files are written under another name first.
        if path.name not in running:
            path.unlink(missing_ok=True)
    for temporary in paths.data_root.glob("runtimes.json.*"):
        temporary.unlink(missing_ok=True)
    _sweep_cgroups(context, running, {*suspects, *ids})
    return trash


def _sweep_cgroups(context: ContainerContext, running: set[str], suspects: set[str]) -> None:
    """Remove cgroups of containers that do not run, and what is still in them."""
    stale: set[Path] = set()
    for tree in context.machine.cgroups.directories(context.config.cgroup_root):
        if context.config.cgroup_parent:
            # Others may have theirs in there as well.
            stale |= {tree / name for name in suspects}
        elif tree.is_dir():
            stale |= {path for path in tree.iterdir() if path.is_dir()}
    stale = {path for path in stale if path.name not in running and path.is_dir()}
    # Frozen processes die only when killed through the tree that can thaw them.
    for path in sorted(stale, key=lambda path: "freezer" not in path.parts):
        cgroups.kill_all(path)
    if left := cgroups.remove(stale):
        context.log.warning("cgroups stay", paths=[str(path) for path in left])
