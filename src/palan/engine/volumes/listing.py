"""Volumes as the API shows them: one, all, and their sizes."""

import asyncio
from collections.abc import Iterable
from typing import Final

from palan.api import Filters
from palan.api.errors import NotFound
from palan.api.volumes import Volume, VolumeListResponse, VolumeUsageData
from palan.engine.timestamps import go_time
from palan.engine.volumes.context import VolumeContext
from palan.engine.volumes.drivers import DriverVolume, PluginDriver, PluginDrivers
from palan.engine.volumes.failures import driver_failures
from palan.engine.volumes.record import LOCAL, VolumeRecord
from palan.host.filesystem import directory_size
from palan.patterns import compile_any
from palan.plugins import PluginFailure


__all__ = ["describe_volume", "inspect_volume", "list_volumes", "measure_volumes"]

_SECOND: Final = 1_000_000_000

_Answer = tuple[str, list[DriverVolume] | PluginFailure, str]
"""A driver's name, its volumes or its failure, and its scope."""


async def inspect_volume(context: VolumeContext, name: str) -> Volume:
    """Return one volume, also one that only its driver knows.

    Raises:
        NotFound: there is no such volume.
        InternalError: its driver failed.
    """
    record = context.records.get(name)
    if record is None and (driver := await context.find_owner(name)):
        record = VolumeRecord(name=name, created=0, driver=driver)
    return await describe_volume(context, record or context.get(name), status=True)


async def describe_volume(
    context: VolumeContext, record: VolumeRecord, *, status: bool = False
) -> Volume:
    """Return a volume as the API shows it, with what its driver says now.

    Args:
        context: the volumes.
        record: the volume's row.
        status: whether to include the status that its driver reports.

    Raises:
        NotFound: its driver does not have it any more.
        InternalError: its driver failed.
    """
    if record.driver == LOCAL:
        return _shown(context, record)
    with driver_failures("get", record.name, record.driver):
        plugin: PluginDriver = await context.plugins.get(record.driver)
        found = await plugin.find(record.name)
        if found is None:
            raise NotFound(f"get {record.name}: no such volume")
        volume = _shown(context, record, found, scope=await plugin.scope())
        if status and found.status:
            volume.status = dict(found.status)
        return volume


async def measure_volumes(context: VolumeContext) -> list[Volume]:
    """Return the volumes that are plain directories with their sizes, for ``GET /system/df``."""
    volumes = []
    for record in list(context.records.values()):
        if record.is_plain:
            path = context.local.path(record.name)
            volume = _shown(context, record)
            volume.usage_data = VolumeUsageData(
                size=await context.surroundings.slowly(directory_size, path),
                ref_count=len(context.references.get(record.name, ())),
            )
            volumes.append(volume)
    return volumes


async def list_volumes(context: VolumeContext, filters: Filters) -> VolumeListResponse:
    """Return the volumes that pass the filters; a failure of a driver becomes a warning."""
    dangling = filters.boolean("dangling", default=False)
    known = dict(context.records)
    volumes = [_shown(context, record) for record in known.values() if record.driver == LOCAL]
    warnings = []
    for driver, found, scope in await _ask_drivers(context.plugins, filters, known.values()):
        if isinstance(found, PluginFailure):
            warnings.append(f"list {driver}: {found.message}")
            volumes += (_shown(context, r) for r in known.values() if r.driver == driver)
            continue
        for volume in found:
            record = known.get(volume.name) or VolumeRecord(
                name=volume.name, created=0, driver=driver
            )
            if record.driver == driver:
                volumes.append(_shown(context, record, volume, scope=scope))
    is_named = compile_any(filters.get("name"))
    wanted = [
        volume
        for volume in volumes
        if ("dangling" not in filters or dangling is not context.is_referenced(volume.name))
        and filters.exact("driver", volume.driver)
        and filters.labels(volume.labels, together=True)
        and ("name" not in filters or is_named(volume.name))
    ]
    wanted.sort(key=lambda volume: volume.name)
    return VolumeListResponse(volumes=wanted, warnings=warnings or None)


async def _ask_drivers(
    plugins: PluginDrivers, filters: Filters, records: Iterable[VolumeRecord]
) -> list[_Answer]:
    """Ask all plugins that pass the filters for their volumes, concurrently."""
    drivers: dict[str, PluginDriver | None] = {d.client.name: d for d in await plugins.all()}
    for record in records:
        if record.driver != LOCAL:
            drivers.setdefault(record.driver, None)

    async def ask(name: str, driver: PluginDriver | None) -> _Answer:
        try:
            driver = driver or await plugins.get(name)
            return name, await driver.list(), await driver.scope()
        except PluginFailure as failure:
            return name, failure, ""

    return await asyncio.gather(
        *(ask(name, driver) for name, driver in drivers.items() if filters.exact("driver", name))
    )


def _shown(
    context: VolumeContext,
    record: VolumeRecord,
    found: DriverVolume | None = None,
    *,
    scope: str = "local",
) -> Volume:
    """Return the API's description of a volume.

    Args:
        context: the volumes.
        record: the volume's row.
        found: the volume as its driver describes it; None for the driver ``local``.
        scope: the scope of all volumes of its driver.
    """
    if record.driver == LOCAL:
        mountpoint = str(context.local.path(record.name))
    else:
        mountpoint = found.mountpoint if found else record.mountpoint
    return Volume(
        name=record.name,
        driver=record.driver,
        mountpoint=mountpoint,
        created_at=found.created_at if found else go_time(record.created // _SECOND * _SECOND),
        labels=record.labels,
        options=record.options,
        scope=scope,
    )
