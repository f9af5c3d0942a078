"""Taking away what a container had while it ran; also what a failed start left half made.

Every step is harmless where there is nothing to do, so that this can be repeated after
a crash at any point.
"""

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from palan.engine.containers.container import Container
from palan.engine.containers.record import SandboxRecord
from palan.engine.networks.sandbox import unplug
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount
from palan.host.oci_runtime import RuntimeFailure


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["take_down"]


async def take_down(
    engine: "Engine",
    container: Container,
    sandbox: SandboxRecord | None,
    *,
    force: bool = False,
) -> None:
    """Remove network, runtime state, cgroups, mounts and the bundle of a container.

    Args:
        engine: the engine.
        container: the container; its lock is held.
        sandbox: its network, if it has one.
        force: kill what still runs.
    """
    runtime = engine.runtimes.find(container.record.runtime)
    if runtime is not None:
        try:
            await runtime.delete(container.id, force=force)
        except RuntimeFailure as error:
            engine.log.warning(
                "runtime keeps container", container=container.id, reason=error.message
            )
    if sandbox is not None:
        await unplug(engine, container, sandbox)
    await asyncio.to_thread(_remove_files, engine, container)


def _remove_files(engine: "Engine", container: Container) -> None:
    bundle = engine.paths.bundle(container.id)
    for mounted in ("rootfs", "shm"):
        with contextlib.suppress(FileNotFoundError):
            unmount(bundle / mounted, lazy=True)
    if bundle.exists():
        remove_tree(bundle)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(engine.paths.exits / container.id)  # noqa: PTH108 - suppresses one thing
