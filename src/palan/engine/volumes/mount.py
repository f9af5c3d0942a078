"""Mounting and unmounting of volumes for the containers and others that use their files."""

from typing import Any

import structlog

from palan.api.errors import PalanError
from palan.engine.volumes.context import VolumeContext
from palan.engine.volumes.failures import driver_failures
from palan.engine.volumes.record import LOCAL, VolumeRecord


__all__ = ["mount_volume", "unmount_stale", "unmount_volume"]

_log: Any = structlog.get_logger("palan.engine")


async def mount_volume(context: VolumeContext, name: str, holder: str) -> str:
    """Mount a volume if that is necessary, and return the path of its files.

    Args:
        context: the volumes.
        name: the volume's name.
        holder: the id under which the driver counts the mount: a container's, or another one.

    Raises:
        NotFound: the volume or its driver is gone.
        InvalidParameter: the device in its options can't be mounted.
        InternalError: the driver failed.
    """
    async with context.locks.alone(name):
        record = context.get(name)
        holders = context.holders.setdefault(name, set())
        if not record.is_mounted_by_driver:
            context.local.create(name)
            holders.add(holder)
            return str(context.local.path(name))
        if holder not in record.holders:
            # A start of the engine that finds it knows what to undo.
            record.holders.append(holder)
            await context.save(record)
        holders.add(holder)
        try:
            with driver_failures(f"error while mounting volume '{record.mountpoint or name}'"):
                driver = await context.driver_of(record)
                record.mountpoint = await driver.mount(name, holder)
        except BaseException:
            await _release_holder(context, record, holder)
            raise
        await context.save(record)
        return record.mountpoint


async def unmount_volume(context: VolumeContext, name: str, holder: str) -> bool:
    """Undo :func:`mount_volume`; return False where there is nothing to undo.

    Raises:
        PalanError, OSError: the driver failed; it is not asked again.
    """
    if holder not in context.holders.get(name, ()):
        return False
    async with context.locks.alone(name):
        record = context.records.get(name)
        if record is None or holder not in context.holders.get(name, ()):
            return False
        if not record.is_mounted_by_driver:
            context.holders[name].discard(holder)
            return True
        try:
            # The local driver has one mount for all holders.
            if record.driver != LOCAL or len(record.holders) <= 1:
                with driver_failures(f"error while unmounting volume '{name}'"):
                    driver = await context.driver_of(record)
                    await driver.unmount(name, holder)
        finally:
            await _release_holder(context, record, holder)
        return True


async def unmount_stale(context: VolumeContext, alive: set[str]) -> None:
    """Unmount the volumes that are mounted for holders which no longer exist.

    Args:
        context: the volumes.
        alive: ids of the containers that run.
    """
    for record in list(context.records.values()):
        for holder in set(record.holders) - alive:
            try:
                await unmount_volume(context, record.name, holder)
            except (PalanError, OSError) as error:
                _log.warning("volume stays mounted", volume=record.name, reason=str(error))


async def _release_holder(context: VolumeContext, record: VolumeRecord, holder: str) -> None:
    context.holders.get(record.name, set()).discard(holder)
    if holder in record.holders:
        record.holders.remove(holder)
        if not record.holders:
            record.mountpoint = ""
        await context.save(record)
