"""``POST /containers/{id}/pause`` and ``unpause``: the cgroup freezer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from palan.api.errors import Conflict, InternalError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.freezer import freeze, thaw
from palan.engine.containers.health_monitor import resume_checks, stop_checks


__all__ = ["frozen", "pause", "unpause"]


async def pause(context: ContainerContext, container: Container) -> None:
    """Freeze all processes of the container.

    Raises:
        Conflict: it is not running, or paused already.
    """
    async with container.lock:
        if container.paused:
            raise Conflict(f"container {container.id} is already paused")
        if not container.running:
            raise Conflict(f"container {container.id} is not running")
        await asyncio.to_thread(freeze, context, container)
        container.record.status = "paused"
        stop_checks(context, container)
        context.events.publish("container", "pause", container.id, container.attributes)
        await context.save(container)


async def unpause(context: ContainerContext, container: Container) -> None:
    """Thaw all processes of the container.

    Raises:
        InternalError: it is not paused (a 500, as dockerd answers it).
    """
    async with container.lock:
        if not container.paused:
            raise InternalError(f"Container {container.id} is not paused")
        await asyncio.to_thread(thaw, context, container)
        container.record.status = "running"
        resume_checks(context, container)
        context.events.publish("container", "unpause", container.id, container.attributes)
        await context.save(container)


@contextlib.asynccontextmanager
async def frozen(context: ContainerContext, container: Container) -> AsyncIterator[None]:
    """Freeze the processes of a container for a commit, if it runs and is not paused.

    Its status stays ``running``, in the row as well: an engine that starts thaws a container
    that is frozen and not paused.  If a client pauses it meanwhile, it stays paused.
    """
    async with container.lock:
        running = container.running
        if running:
            container.commit_freezes += 1
            if not container.paused and container.commit_freezes == 1:
                await _freeze(context, container)
    try:
        yield
    finally:
        if running:
            await asyncio.shield(_thaw_after_commit(context, container))


async def _freeze(context: ContainerContext, container: Container) -> None:
    try:
        await asyncio.to_thread(freeze, context, container)
    except BaseException:
        container.commit_freezes -= 1
        raise
    context.events.publish("container", "pause", container.id, container.attributes)


async def _thaw_after_commit(context: ContainerContext, container: Container) -> None:
    async with container.lock:
        container.commit_freezes -= 1
        if container.commit_freezes or container.record.status != "running":
            return
        with contextlib.suppress(OSError):  # the container has ended, and its cgroup is removed
            await asyncio.to_thread(thaw, context, container)
        context.events.publish("container", "unpause", container.id, container.attributes)
