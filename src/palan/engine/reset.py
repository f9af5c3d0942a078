"""Removing all objects of an engine: containers, networks, rules, images, volumes.

No part of the engine needs to run or even to work for that: what belongs to it is
recognised by path and name.  The caller holds the locks of both roots, so that no
engine is running.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from palan.engine.config import EngineConfig
from palan.engine.networks.reset import remove_networking
from palan.engine.paths import Paths
from palan.host import cgroups, conmon, processes
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount_below
from palan.host.namespaces import remove_netns


__all__ = ["is_engine", "reset"]


def is_engine(config: EngineConfig) -> bool:
    """Whether an engine has ever used these roots; nothing else may be deleted."""
    return config.paths.database.exists() or config.paths.bundles.is_dir()


def reset(config: EngineConfig) -> None:
    """Kill the containers and remove everything; can be repeated after an error.  Blocking.

    Raises:
        OSError: something could not be removed.
    """
    paths = config.paths
    _kill(config)
    for entry in _children(paths.netns):
        remove_netns(entry)
    remove_networking(config)
    for root in (paths.exec_root, paths.data_root):
        unmount_below(root.resolve())
    for entry in paths.volatile:
        remove_tree(entry)
    # The database last: as long as it exists, an interrupted reset can be repeated.
    for entry in paths.durable:
        remove_tree(entry)
    for root in (paths.exec_root, paths.data_root):
        with contextlib.suppress(OSError):
            root.rmdir()


def _kill(config: EngineConfig) -> None:
    # The monitors first, so that none of them reports the death of its container.
    for monitor in conmon.find_monitors(config.paths.bundles):
        processes.kill(monitor.pid, started=monitor.start_time)
    hierarchies = cgroups.detect()
    found = set(_cgroups_of_containers(config.paths))
    if not config.cgroup_parent:
        # All cgroups below are the engine's; a configured parent may have others, too.
        found.add(config.cgroup_root)
    # Children before their parents, which have shorter names.
    for name in sorted(found, key=len, reverse=True):
        directories = hierarchies.directories(name)
        # Frozen processes die only if killed through the hierarchy that can thaw them.
        for directory in sorted(directories, key=lambda path: "freezer" not in path.parts):
            cgroups.kill_all(directory)
        cgroups.remove(directories)


def _cgroups_of_containers(paths: Paths) -> Iterator[str]:
    for bundle in _children(paths.bundles):
        try:
            spec = json.loads((bundle / "config.json").read_bytes())
            name = spec["linux"]["cgroupsPath"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if isinstance(name, str) and bundle.name in name:
            yield name


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
