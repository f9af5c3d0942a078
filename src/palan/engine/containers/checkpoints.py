"""Checkpoints: the processes of a container saved to disk, and restored (criu).

As with dockerd they are an experimental feature (``--experimental``).  The runtime calls criu,
which must be installed and support the kernel; its error messages are passed to the client.
A checkpoint is a directory below the container's.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from palan.api.containers import Checkpoint, CheckpointCreateBody
from palan.api.errors import (
    Conflict,
    InternalError,
    InvalidParameter,
    NotFound,
    NotYetImplemented,
)
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.host.filesystem import remove_tree
from palan.host.oci_runtime import RuntimeFailure, find_programs


__all__ = [
    "checkpoint_create",
    "checkpoint_directory",
    "checkpoint_list",
    "checkpoint_remove",
]

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_LONGEST: Final = 255
_DISABLED: Final = (
    "This experimental feature is disabled by default. Start the Docker daemon in experimental"
    " mode in order to enable it."
)


def _check_enabled(context: ContainerContext) -> None:
    if not context.config.experimental:
        raise NotYetImplemented(_DISABLED)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith(".") or len(name) > _LONGEST:
        raise InvalidParameter(
            f'invalid checkpoint ID "{name}", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed'
        )


def _root(context: ContainerContext, container: Container, directory: str) -> Path:
    if not directory:
        return context.paths.container(container.id) / "checkpoints"
    if not directory.startswith("/") or "\0" in directory:
        raise InvalidParameter(f"invalid checkpoint directory {directory!r}: it must be absolute")
    return Path(directory)


def checkpoint_directory(
    context: ContainerContext, container: Container, name: str, directory: str
) -> Path:
    """Return the directory of a checkpoint.

    Args:
        context: the context of the room.
        container: the container.
        name: its name.
        directory: the parent directory; empty for the container's own.

    Raises:
        InvalidParameter: the name is malformed.
        NotFound: there is no such checkpoint.
    """
    _check_name(name)
    path = _root(context, container, directory) / name
    if not path.is_dir():
        raise NotFound(f"checkpoint {name} does not exist for container {container.name}")
    return path


async def checkpoint_create(
    context: ContainerContext, container: Container, body: CheckpointCreateBody, name: str
) -> None:
    """Save the processes of a container to disk; they continue to run unless ``exit`` is given.

    Raises:
        Conflict: it does not run, or has a checkpoint of that name.
        NotYetImplemented: the feature is off, or criu is not installed.
        InternalError: criu failed; in its own words.
    """
    _check_enabled(context)
    _check_name(body.checkpoint_id)
    prefix = f"Cannot checkpoint container {name}: "
    if not find_programs(["criu"]):
        raise NotYetImplemented(f"{prefix}criu is not installed on this machine")
    async with container.lock:
        if not container.running or container.ending:
            raise Conflict(f"container {container.id} is not running")
        runtime = context.runtimes.get(container.record.runtime)
        path = _root(context, container, body.checkpoint_dir) / body.checkpoint_id
        try:
            await asyncio.to_thread(_make, path)
        except FileExistsError:
            raise Conflict(
                f"cannot checkpoint container {name}: checkpoint with name"
                f" {body.checkpoint_id} already exists for container {name}"
            ) from None
        except OSError as error:
            raise InvalidParameter(f"{prefix}{error.strerror}: {path}".lower()) from None
        stopped = container.record.stopped_by_user
        if body.exit:
            container.record.stopped_by_user = True  # so no restart policy applies
        try:
            await runtime.checkpoint(
                container.id,
                path,
                bundle=context.paths.bundle(container.id),
                keep_running=not body.exit,
            )
        except (RuntimeFailure, OSError, TimeoutError) as failure:
            container.record.stopped_by_user = stopped
            await asyncio.to_thread(remove_tree, path)
            raise InternalError(f"{prefix}{failure}") from None
    context.events.publish("container", "checkpoint", container.id, container.attributes)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700)


async def checkpoint_list(
    context: ContainerContext, container: Container, directory: str
) -> list[Checkpoint]:
    """Return the checkpoints of a container.

    Raises:
        NotFound, InvalidParameter: the given directory does not exist, or is not a directory.
    """
    _check_enabled(context)
    root = _root(context, container, directory)
    try:
        names = await asyncio.to_thread(_names, root)
    except FileNotFoundError:
        if not directory:
            return []
        raise NotFound(
            f'checkpoint directory "{root}" does not exist for container {container.name}'
        ) from None
    except NotADirectoryError:
        raise InvalidParameter(
            f'checkpoint directory "{root}" exists but is not a directory'
        ) from None
    return [Checkpoint(name=name) for name in names]


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


async def checkpoint_remove(
    context: ContainerContext, container: Container, name: str, directory: str
) -> None:
    """Remove a checkpoint.

    Raises:
        NotFound: there is no such checkpoint.
    """
    _check_enabled(context)
    path = checkpoint_directory(context, container, name, directory)
    await context.slowly(remove_tree, path)
