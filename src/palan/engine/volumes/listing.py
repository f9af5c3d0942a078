"""``GET /volumes``: ours, and what the drivers of others say that they have."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from palan.api import Filters
from palan.api.errors import InvalidParameter
from palan.api.volumes import Volume, VolumeListResponse
from palan.engine.containers.container import go_time
from palan.engine.volumes.drivers import DriverVolume, PluginDriver, PluginDrivers
from palan.engine.volumes.record import LOCAL, VolumeRecord
from palan.plugins import PluginFailure


__all__ = ["Places", "describe", "list_volumes", "wants_all"]

_Found = tuple[str, list[DriverVolume] | PluginFailure, str]
"""A driver's name, what it has or why it does not say, and its scope."""


class Places(Protocol):
    """Who knows where volumes of the driver ``local`` are."""

    def path(self, name: str, /) -> Path:
        """The directory with its files."""


def describe(
    places: Places,
    record: VolumeRecord,
    found: DriverVolume | None = None,
    *,
    scope: str = "local",
) -> Volume:
    """A volume as the API shows it.

    Args:
        places: where those of the local driver are.
        record: what we know.
        found: what another driver says.
        scope: what that driver says about all of its volumes.
    """
    if record.driver == LOCAL:
        mountpoint = str(places.path(record.name))
    else:
        mountpoint = found.mountpoint if found else record.mountpoint
    return Volume(
        name=record.name,
        driver=record.driver,
        mountpoint=mountpoint,
        created_at=found.created_at
        if found
        else go_time(record.created // 1_000_000_000 * 1_000_000_000),
        labels=record.labels,
        options=record.options,
        scope=scope,
    )


async def list_volumes(
    places: Places,
    filters: Filters,
    *,
    records: Iterable[VolumeRecord],
    plugins: PluginDrivers,
    is_used: Callable[[str], bool],
) -> VolumeListResponse:
    """All volumes that pass the filters; what a driver does not say is a warning."""
    filters.accept("dangling", "driver", "label", "name")
    dangling = filters.boolean("dangling", default=False)
    known = {record.name: record for record in records}
    volumes = [describe(places, record) for record in known.values() if record.driver == LOCAL]
    warnings = []
    for driver, found, scope in await _ask(plugins, filters, known.values()):
        if isinstance(found, PluginFailure):
            warnings.append(f"list {driver}: {found.message}")
            volumes += (describe(places, r) for r in known.values() if r.driver == driver)
            continue
        for volume in found:
            record = known.get(volume.name) or VolumeRecord(
                name=volume.name, created=0, driver=driver
            )
            if record.driver == driver:
                volumes.append(describe(places, record, volume, scope=scope))
    wanted = [
        volume
        for volume in volumes
        if ("dangling" not in filters or dangling is not is_used(volume.name))
        and filters.exact("driver", volume.driver)
        and filters.labels(volume.labels)
        and _is_named(volume.name, filters)
    ]
    wanted.sort(key=lambda volume: volume.name)
    return VolumeListResponse(volumes=wanted, warnings=warnings or None)


async def _ask(
    plugins: PluginDrivers, filters: Filters, records: Iterable[VolumeRecord]
) -> list[_Found]:
    """Every driver of others that may have volumes the client wants, all at once."""
    drivers: dict[str, PluginDriver | None] = {d.client.name: d for d in await plugins.all()}
    for record in records:
        if record.driver != LOCAL:
            drivers.setdefault(record.driver, None)

    async def one(name: str, driver: PluginDriver | None) -> _Found:
        try:
            driver = driver or await plugins.get(name)
            return name, await driver.list(), await driver.scope()
        except PluginFailure as failure:
            return name, failure, ""

    return await asyncio.gather(
        *(one(name, driver) for name, driver in drivers.items() if filters.exact("driver", name))
    )


def _is_named(name: str, filters: Filters) -> bool:
    return filters.matches("name", lambda part: part in name)


def wants_all(filters: Filters) -> bool:
    """Whether a prune is to take volumes with names, too.

    Raises:
        InvalidParameter: ``all`` is no boolean; in dockerd's words.
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
