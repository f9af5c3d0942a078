"""The removal of what no container accounts for, when the engine starts.

An engine that was killed leaves half-made things: a conmon of a start that was not
acknowledged, mounts, directories, cgroups.  All of them have the container's id as their name
or lie below a directory of that name.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from palan.engine.containers.context import ContainerContext
from palan.engine.set_aside import set_aside
from palan.host import cgroups, processes
from palan.host.conmon import RunningMonitor
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount_below
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure


__all__ = ["kill_strays", "sweep"]

_PATIENCE: Final = 5.0
_PAUSE: Final = 0.005


async def kill_strays(
    context: ContainerContext, alive: Collection[str], monitors: Collection[RunningMonitor]
) -> set[str]:
    """Kill the conmons, and their processes, of starts that were not acknowledged.

    Args:
        context: the context of the room.
        alive: ids of the containers that run.
        monitors: all conmons that run.

    Returns:
        the ids of containers that may have left cgroups.
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


def _kill(strays: Collection[RunningMonitor]) -> None:
    for stray in strays:
        # A stopped conmon starts no more processes, and orphans of its children become its own.
        processes.kill(stray.pid, signal.SIGSTOP, started=stray.start_time)
    deadline = time.monotonic() + _PATIENCE
    for stray in strays:
        while (left := _descendants(stray)) and time.monotonic() < deadline:
            for pid in left:
                processes.kill(pid)
            time.sleep(_PAUSE)
        processes.kill(stray.pid, started=stray.start_time)
    for stray in strays:
        while processes.is_alive(stray.pid, stray.start_time) and time.monotonic() < deadline:
            time.sleep(_PAUSE)


def _descendants(stray: RunningMonitor) -> list[int]:
    if not processes.is_alive(stray.pid, stray.start_time):
        return []
    return [pid for pid in processes.descendants(stray.pid) if processes.is_alive(pid)]


async def _delete(context: ContainerContext, runtime: OCIRuntime, name: str) -> None:
    try:
        await runtime.delete(name, force=True)
    except (OSError, TimeoutError, RuntimeFailure) as failure:
        # Its state was half written; the rest is swept later.
        context.log.debug("stale runtime state", id=name, reason=str(failure))
        await asyncio.to_thread(remove_tree, runtime.root / name)


def sweep(context: ContainerContext, suspects: Collection[str]) -> list[Path]:
    """Remove bundles, mounts, directories, exit files and cgroups without a container.

    Args:
        context: the context of the room.
        suspects: ids of containers that may have left cgroups.

    Returns:
        directories for the caller to remove, which may be large.
    """
    paths = context.paths
    registry = context.registry
    ids = {c.id for c in registry}
    running = {c.id for c in registry if c.running}
    bundles = [path for path in paths.bundles.iterdir() if path.name not in running]
    # Also those of tests of a runtime.
    for bundle in (*bundles, *paths.exec_root.glob("probe-*")):
        with contextlib.suppress(FileNotFoundError):
            unmount_below(bundle.resolve())
            remove_tree(bundle)
    trash = _sweep_directories(context, ids)
    for path in paths.exits.iterdir():
        # Exit files are written under another name first.
        if path.name not in running:
            path.unlink(missing_ok=True)
    for temporary in paths.data_root.glob("runtimes.json.*"):
        temporary.unlink(missing_ok=True)
    _sweep_cgroups(context, running, {*suspects, *ids})
    return trash


def _sweep_directories(context: ContainerContext, ids: Collection[str]) -> list[Path]:
    """Rename directories of creates that were cut short, and return them to be removed.

    Other directories without a row are set aside: their rows must have been damaged.
    """
    paths, trash = context.paths, list[Path]()
    for directory in list(paths.containers.iterdir()):
        if directory.name in ids:
            continue
        if _is_draft(directory):
            trash.append(directory.rename(paths.tmp / f"swept-{directory.name}"))
            continue
        kept = set_aside(paths.set_aside, "container", directory)
        context.log.error(
            "a directory belongs to no known container and is set aside",
            directory=str(directory),
            kept=str(kept),
        )
    return trash


def _is_draft(directory: Path) -> bool:
    """Whether a container's directory has only what a create puts there before it saves a row."""
    return all(
        path.name in ("diff", "work") and path.is_dir() and not any(path.iterdir())
        for path in directory.iterdir()
    )


def _sweep_cgroups(context: ContainerContext, running: set[str], suspects: set[str]) -> None:
    """Remove cgroups of containers that do not run, and kill the processes in them."""
    stale: set[Path] = set()
    for tree in context.machine.cgroups.directories(context.config.cgroup_root):
        if context.config.cgroup_parent:
            # Other programs may have their cgroups there as well.
            stale |= {tree / name for name in suspects}
        elif tree.is_dir():
            stale |= {path for path in tree.iterdir() if path.is_dir()}
    stale = {path for path in stale if path.name not in running and path.is_dir()}
    # Frozen processes die only when killed through the tree that can thaw them.
    for path in sorted(stale, key=lambda path: "freezer" not in path.parts):
        cgroups.kill_all(path)
    if left := cgroups.remove(stale):
        context.log.warning("cgroups stay", paths=[str(path) for path in left])
