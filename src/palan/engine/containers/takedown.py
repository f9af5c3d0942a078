"""Taking away what a container had while it ran; also what a failed start left half made.

Every step is harmless where there is nothing to do, so that this can be repeated after
a crash at any point.  And no step that fails keeps the others, or the news of the
container's end, from happening: what stays is swept away when the engine starts next.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from palan.api.errors import PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.sources import let_go_of_volumes, unpin
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.sandbox import unplug
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount
from palan.host.oci_runtime import RuntimeFailure


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["note_end", "publish_unmounts", "take_down"]


async def take_down(
    engine: "Engine",
    container: Container,
    sandbox: SandboxRecord | None,
    *,
    force: bool = False,
) -> None:
    """Remove network, runtime state, cgroups, mounts and the bundle of a container.

    The exit code that its conmon has left stays until :func:`note_end`.

    Args:
        engine: the engine.
        container: the container; its lock is held.
        sandbox: its network, if it has one.
        force: kill what still runs.
    """
    runtime = engine.runtimes.find(container.record.runtime)
    if runtime is not None:
        await _attempt(engine, container, "runtime", runtime.delete(container.id, force=force))
    if sandbox is not None:
        await _attempt(engine, container, "network", unplug(engine, container, sandbox))
    files = asyncio.to_thread(_remove_files, engine, container)
    await _attempt(engine, container, "files", files)
    publish_unmounts(
        engine, container, await let_go_of_volumes(engine, container.record.mounts, container.id)
    )


def publish_unmounts(engine: "Engine", container: Container, volumes: Iterable[str]) -> None:
    """Tell that volumes of the container are no longer mounted for it."""
    drivers = {mount.volume: mount.driver for mount in container.record.mounts}
    for name in volumes:
        attributes = {"driver": drivers[name], "container": container.id}
        engine.events.publish("volume", "unmount", name, attributes)


async def _attempt(
    engine: "Engine", container: Container, what: str, step: Awaitable[None]
) -> None:
    try:
        await step
    except (OSError, TimeoutError, RuntimeFailure) as error:
        engine.log.warning(
            "something of a container stays", container=container.id, what=what, reason=str(error)
        )


def _remove_files(engine: "Engine", container: Container) -> None:
    bundle = engine.paths.bundle(container.id)
    unpin(bundle)
    for mounted in ("rootfs", "shm"):
        unmount(bundle / mounted, lazy=True)
    remove_tree(bundle)


async def note_end(engine: "Engine", container: Container) -> None:
    """Write down that a container has ended, and then forget the exit code that conmon left.

    Where nothing can be written, the code stays for the next start of the engine to find:
    those who wait for the end must hear of it all the same.
    """
    try:
        await engine.containers.save(container)
    except (PalanError, sqlite3.Error, OSError) as failure:
        engine.log.warning(
            "the end of a container is not saved", container=container.id, reason=str(failure)
        )
    else:
        (engine.paths.exits / container.id).unlink(missing_ok=True)
