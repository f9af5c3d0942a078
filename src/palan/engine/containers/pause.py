"""``POST /containers/{id}/pause`` and ``unpause``: the cgroup freezer."""

import asyncio
from typing import TYPE_CHECKING

from palan.api.errors import Conflict, InternalError
from palan.engine.containers.container import Container
from palan.engine.containers.health_monitor import resume_checks, stop_checks


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["pause", "unpause"]


async def pause(engine: "Engine", container: Container) -> None:
    """Freeze all processes of the container.

    Raises:
        Conflict: it is not running, or paused already.
    """
    async with container.lock:
        if container.paused:
            raise Conflict(f"container {container.id} is already paused")
        if not container.running:
            raise Conflict(f"container {container.id} is not running")
        await asyncio.to_thread(engine.containers.freeze, container)
        container.record.status = "paused"
        stop_checks(engine, container)
        engine.events.publish("container", "pause", container.id, container.attributes)
        await engine.containers.save(container)


async def unpause(engine: "Engine", container: Container) -> None:
    """Thaw them.

    Raises:
        InternalError: it is not paused (a 500, as dockerd answers it).
    """
    async with container.lock:
        if not container.paused:
            raise InternalError(f"Container {container.id} is not paused")
        await asyncio.to_thread(engine.containers.thaw, container)
        container.record.status = "running"
        resume_checks(engine, container)
        engine.events.publish("container", "unpause", container.id, container.attributes)
        await engine.containers.save(container)
