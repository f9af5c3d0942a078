"""Removal of volumes, one by one and by ``prune``."""

import asyncio
from pathlib import Path

from palan.api import Filters
from palan.api.errors import Conflict, InvalidParameter, PalanError
from palan.api.volumes import VolumePruneResponse
from palan.engine.volumes.context import VolumeContext
from palan.engine.volumes.failures import driver_failures
from palan.engine.volumes.record import LOCAL, VolumeRecord
from palan.host.filesystem import directory_size, remove_tree


__all__ = ["prune_volumes", "remove_unused", "remove_volume"]


async def remove_volume(context: VolumeContext, name: str, *, force: bool) -> None:
    """Remove the volume of that name.

    Raises:
        NotFound: there is no such volume, and ``force`` is not given.
        Conflict: a container refers to it.
        InternalError: its driver failed; with ``force`` its row is deleted all the same.
    """
    record = context.records.get(name)
    if record is None and (driver := await context.find_owner(name)):
        record = VolumeRecord(name=name, created=0, driver=driver)
        context.records[name] = record
    if record is None and force:
        return
    record = context.get(name)
    if users := context.references.get(name):
        ids = ", ".join(sorted(users))
        raise Conflict(f"remove {name}: volume is in use - [{ids}]")
    if not await remove_unused(context, record, force=force):
        context.get(name)  # another request may have removed it meanwhile
        raise Conflict(f"remove {name}: volume is in use")


async def remove_unused(
    context: VolumeContext, record: VolumeRecord, *, force: bool = False
) -> bool:
    """Remove a volume; return False if a container came to use it, or it is gone already."""
    name = record.name
    trash: Path | None = None
    async with context.locks.alone(name):
        if context.records.get(name) is not record or context.is_referenced(name):
            return False
        if record.driver == LOCAL:
            # The row goes first: a directory without a row is removed at the next start.
            context.publish("destroy", name, driver=record.driver)
            await context.delete(record)
            trash = await asyncio.to_thread(context.local.move_to_trash, name)
        else:
            try:
                with driver_failures("remove", name, record.driver):
                    await (await context.plugins.get(record.driver)).remove(name)
            except PalanError:
                if force:
                    await context.delete(record)
                raise
            context.publish("destroy", name, driver=record.driver)
            await context.delete(record)
    if trash is not None:
        await context.surroundings.slowly(remove_tree, trash)
    return True


async def prune_volumes(context: VolumeContext, filters: Filters) -> VolumePruneResponse:
    """Remove unused anonymous volumes, or all unused ones with the filter ``all``.

    Volumes with options and those of other drivers are never pruned.
    """
    include_named = _includes_named(filters)
    deleted: list[str] = []
    reclaimed = 0
    for record in list(context.records.values()):
        if context.is_referenced(record.name) or not filters.labels(record.labels, together=True):
            continue
        if record.is_plain and (include_named or record.anonymous):
            path = context.local.path(record.name)
            size = await context.surroundings.slowly(directory_size, path)
            if await remove_unused(context, record):
                reclaimed += size
                deleted.append(record.name)
    context.publish("prune", "", reclaimed=str(reclaimed))
    return VolumePruneResponse(volumes_deleted=deleted, space_reclaimed=reclaimed)


def _includes_named(filters: Filters) -> bool:
    """Whether the filter ``all`` asks for volumes with names, too.

    Raises:
        InvalidParameter: it is not a boolean; in dockerd's words.
    """
    if len(values := filters.get("all")) > 1:
        raise InvalidParameter(
            f"invalid filter 'all=[{' '.join(values)}]': only one value is expected"
        )
    try:
        return filters.boolean("all", default=False)
    except InvalidParameter:
        text = " ".join(filters.get("all"))
        raise InvalidParameter(
            f"invalid filter 'all': strconv.ParseBool: parsing \"{text}\": invalid syntax"
        ) from None
