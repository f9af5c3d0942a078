"""``POST /containers/prune``: remove containers that do not run."""

from palan.api import Filters
from palan.api.containers import ContainerPruneResponse
from palan.api.errors import PalanError
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.inspect import sizes
from palan.engine.containers.lifecycle import remove_stopped
from palan.engine.until import made_before


__all__ = ["prune"]


async def prune(context: ContainerContext, filters: Filters) -> ContainerPruneResponse:
    """Remove all containers that do not run and that match the filters.

    Raises:
        InvalidParameter: a filter is unknown, or ``until`` is not a time.
    """
    until = made_before(filters)
    deleted: list[str] = []
    reclaimed = 0
    for container in context.registry:
        if until is not None and container.record.created >= until:
            continue
        if not filters.labels(container.record.config.labels, together=True):
            continue
        async with container.lock:
            if container.running or container.removed:
                continue
            if container.record.status in ("removing", "restarting"):
                continue
            size, _ = await sizes(context, container)
            try:
                await remove_stopped(context, container, volumes=False)
            except PalanError as failure:
                context.log.warning(
                    "container stays", container=container.id, reason=failure.message
                )
                continue
        deleted.append(container.id)
        reclaimed += size
    context.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return ContainerPruneResponse(containers_deleted=deleted or None, space_reclaimed=reclaimed)
