"""``DELETE /containers/{id}`` and ``POST /containers/prune``.

A removal is written down before anything is deleted, so that one which a crash cut
short is finished at the next start.  The directory is renamed away first, which can't
fail half-way, and then deleted.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from palan.api.errors import Conflict, InternalError, NotFound, PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.stop import kill_now
from palan.store.database import StoreFailure


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["remove", "remove_stopped"]


async def remove(
    engine: "Engine", container: Container, *, force: bool, volumes: bool, name: str
) -> None:
    """Remove a container.

    Args:
        engine: the engine.
        container: the container.
        force: kill it first if it runs.
        volumes: remove its anonymous volumes with it.
        name: what the client called it, for messages.

    Raises:
        Conflict: it runs and ``force`` is not given, or it is being removed already.
    """
    while True:
        if container.record.status == "removing" or container.removed:
            raise Conflict(f"removal of container {name} is already in progress")
        if not force:
            _check_ended(container, name)
        elif container.running:
            container.record.stopped_by_user = True
            await kill_now(engine, container)
        async with container.lock:
            if engine.containers.registry.find(container.id) is None:
                if container.record.host_config.auto_remove:
                    return  # --rm was faster; what the caller wants is so
                raise NotFound(f"No such container: {name}")
            if not container.running:
                await remove_stopped(engine, container, volumes=volumes)
                return
        # It was started meanwhile, by a client or by its restart policy.


def _check_ended(container: Container, name: str) -> None:
    refusal = f'cannot remove container "{name}": container is '
    if container.paused:
        raise Conflict(f"{refusal}paused and must be unpaused first")
    if container.running or container.record.status == "restarting":
        raise Conflict(
            f"{refusal}{container.record.status}:"
            " stop the container before removing or force remove"
        )


async def remove_stopped(engine: "Engine", container: Container, *, volumes: bool) -> None:
    """Remove a container that does not run; its lock is held by the caller.

    Raises:
        InternalError: its files or its row can't be deleted; it stays, as a dead one whose
            removal can be tried again.
    """
    record = container.record
    record.status, record.remove_volumes = "removing", volumes
    # A full disk is no reason not to make room on it.
    with contextlib.suppress(StoreFailure):
        await engine.containers.save(container)
    try:
        await _remove_all(engine, container)
    except BaseException as error:
        record.status = "dead"
        failure = InternalError(f"unable to remove filesystem: {error}")
        with contextlib.suppress(StoreFailure):
            await engine.containers.save(container)
        container.settle_removal(failure)
        if isinstance(error, OSError):
            raise failure from error
        raise


async def _remove_all(engine: "Engine", container: Container) -> None:
    record = container.record
    trash = engine.paths.tmp / f"removed-{container.id}"
    await engine.logs.remove(container)
    await asyncio.to_thread(engine.containers.discard_files, container, trash)
    engine.volumes.release(container.id)
    if record.remove_volumes:
        for volume in record.anonymous_volumes:
            try:
                await engine.volumes.remove_anonymous(volume)
            except (OSError, PalanError) as error:
                engine.log.warning("volume stays", volume=volume, reason=str(error))
    # Last: as long as the row is there, the next start finishes what a crash cuts short.
    engine.events.publish("container", "destroy", container.id, container.attributes)
    await engine.containers.forget(container)
    for image in {record.image, *(m.image for m in record.mounts if m.image)}:
        try:
            await engine.images.release(image)
        except (OSError, PalanError) as error:
            engine.log.warning("image stays", image=image, reason=str(error))
    engine.exec.discard(container.id)
    container.streams.ended()
    container.removed = True
    if not container.exit.done():
        container.exit.set_result(record.exit_code)
    container.settle_removal(record.exit_code)
