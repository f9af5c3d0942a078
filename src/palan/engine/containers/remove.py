"""``DELETE /containers/{id}``."""

from palan.api.errors import Conflict, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.lifecycle import remove_stopped
from palan.engine.containers.stop import kill_now


__all__ = ["remove"]


async def remove(
    context: ContainerContext, container: Container, *, force: bool, volumes: bool, name: str
) -> None:
    """Remove a container.

    Args:
        context: the context of the room.
        container: the container.
        force: kill it first if it runs.
        volumes: remove its anonymous volumes with it.
        name: the name that the client used, for messages.

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
            await kill_now(context, container)
        async with container.lock:
            if context.registry.find(container.id) is None:
                if container.record.host_config.auto_remove:
                    return  # it was removed at its end (--rm), as the caller wants
                raise NotFound(f"No such container: {name}")
            if not container.running:
                await remove_stopped(context, container, volumes=volumes)
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
