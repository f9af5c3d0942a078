"""Freezing the processes of a container with the cgroup freezer; all of it blocks."""

from pathlib import Path

from palan.api.errors import InternalError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.spec import cgroup_path
from palan.host import cgroups


__all__ = ["freeze", "is_frozen", "thaw"]


def freeze(context: ContainerContext, container: Container) -> None:
    """Freeze all processes of a container.

    Raises:
        InternalError: no cgroups are mounted.
        OSError: the kernel refuses.
    """
    cgroups.freeze(_freezer(context, container))


def thaw(context: ContainerContext, container: Container) -> None:
    """Thaw all processes of a container.

    Raises:
        InternalError: no cgroups are mounted.
        OSError: the cgroup does not exist.
    """
    cgroups.thaw(_freezer(context, container))


def is_frozen(context: ContainerContext, container: Container) -> bool:
    """Whether the processes of a container are frozen, whatever its row says."""
    return bool(context.machine.cgroups.trees) and cgroups.is_frozen(_freezer(context, container))


def _freezer(context: ContainerContext, container: Container) -> Path:
    known, name = context.machine.cgroups, cgroup_path(context, container.record)
    path: Path | None = known.paths(name).get("freezer") or next(
        iter(known.directories(name)), None
    )
    if path is None:
        raise InternalError("no cgroups are mounted, so processes can't be paused")
    return path
