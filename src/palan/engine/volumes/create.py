"""Creation of volumes."""

import secrets
import time

from palan.api.errors import Conflict
from palan.engine.volumes.context import VolumeContext
from palan.engine.volumes.failures import driver_failures
from palan.engine.volumes.names import check_name
from palan.engine.volumes.options import check_options
from palan.engine.volumes.record import ANONYMOUS, LOCAL, VolumeRecord


__all__ = ["ensure_volume"]


async def ensure_volume(
    context: VolumeContext,
    name: str,
    *,
    driver: str = "",
    options: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> tuple[VolumeRecord, bool]:
    """Return the volume of that name, which is created if absent, and whether it was created.

    An empty name creates an anonymous volume.

    Raises:
        InvalidParameter: the name or an option is invalid.
        NotFound: there is no such driver.
        Conflict: another driver has a volume of that name.
        InternalError: the driver failed.
    """
    if not name:
        name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS: ""}
        driver = driver or LOCAL
    async with context.locks.alone(name):
        record = await _existing(context, name, driver)
        if record is not None:
            return record, False
        driver = driver or await context.find_owner(name) or LOCAL
        await _create_files(context, name, driver, options or {})
        record = VolumeRecord(
            name=name, created=time.time_ns(), driver=driver, labels=labels, options=options
        )
        # A client that receives the event must find the volume.
        context.records[name] = record
        context.publish("create", name, driver=driver)
        try:
            await context.save(record)
        except BaseException:
            context.records.pop(name, None)
            raise
    return record, True


async def _create_files(
    context: VolumeContext, name: str, driver: str, options: dict[str, str]
) -> None:
    if driver == LOCAL:
        check_name(name)
        check_options(name, options)
        context.local.create(name)
        return
    with driver_failures("create", name, driver):
        plugin = await context.plugins.get(driver)
        if await plugin.find(name) is None:
            await plugin.create(name, options)


async def _existing(context: VolumeContext, name: str, driver: str) -> VolumeRecord | None:
    """Return the known volume of that name, if its driver still has it.

    Raises:
        Conflict: another driver has it, or it is in use and its driver has lost it.
    """
    record = context.records.get(name)
    if record is None:
        return None
    if driver not in ("", record.driver):
        if driver != LOCAL:
            with driver_failures("create", name, driver):
                await context.plugins.get(driver)
        raise Conflict(
            f"create {name}: driver '{record.driver}' already has volume '{name}':"
            " volume name must be unique"
        )
    if record.driver == LOCAL:
        # Its directories may have been removed by hand.
        context.local.create(name)
        return record
    with driver_failures("create", name, record.driver):
        plugin = await context.plugins.get(record.driver)
        if await plugin.find(name) is not None:
            return record
    if context.is_referenced(name):
        raise Conflict(
            f"create {name}: found references to volume '{name}' in driver '{record.driver}'"
            " but the volume was not found in the driver -- you may need to remove containers"
            " referencing this volume or force remove the volume to re-create it: volume name"
            " must be unique"
        )
    await context.delete(record)
    return None
