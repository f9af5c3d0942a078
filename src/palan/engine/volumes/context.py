"""The shared state of the volumes: rows in memory, references, locks and drivers."""

import contextlib

from palan.api.errors import NotFound
from palan.engine.keyed_lock import KeyedLock
from palan.engine.volumes.drivers import Driver, PluginDrivers
from palan.engine.volumes.local import LocalDriver
from palan.engine.volumes.record import LOCAL, TABLE, VolumeRecord
from palan.engine.volumes.surroundings import Surroundings
from palan.plugins import PluginFailure


__all__ = ["VolumeContext"]


class VolumeContext:
    """All that the operations on volumes share.

    Attributes:
        surroundings: the rest of the engine.
        local: the driver ``local``.
        plugins: the drivers of other programs.
        records: the volumes by name.
        references: by volume, the ids of the containers that refer to it, running or not.
        holders: by volume, the holders for which it is mounted now.
        locks: one for each name, held while a volume is created, mounted or removed.  A
            driver may be slow, and only the users of that volume wait for it.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.local = LocalDriver(surroundings.paths)
        self.plugins = PluginDrivers(surroundings.drivers)
        self.records: dict[str, VolumeRecord] = {}
        self.references: dict[str, set[str]] = {}
        self.holders: dict[str, set[str]] = {}
        self.locks = KeyedLock()

    def load(self) -> None:
        """Read the rows of all volumes."""
        self.records = dict(TABLE.load(self.surroundings.db))
        for record in self.records.values():
            self.holders[record.name] = set(record.holders)

    def get(self, name: str) -> VolumeRecord:
        """Return the volume of that name.

        Raises:
            NotFound: there is no such volume.
        """
        try:
            return self.records[name]
        except KeyError:
            raise NotFound(f"get {name}: no such volume") from None

    def is_referenced(self, name: str) -> bool:
        """Whether a container refers to a volume."""
        return bool(self.references.get(name))

    async def save(self, record: VolumeRecord) -> None:
        """Write the row of a volume; committed on return."""
        await TABLE.put(self.surroundings.db, record.name, record)

    async def delete(self, record: VolumeRecord) -> None:
        """Delete the row of a volume, and discard what is known of it in memory."""
        await TABLE.delete(self.surroundings.db, record.name)
        self.records.pop(record.name, None)
        self.references.pop(record.name, None)
        self.holders.pop(record.name, None)

    async def driver_of(self, record: VolumeRecord) -> Driver:
        """Return the driver that mounts a volume.

        Raises:
            PluginFailure: it can't be reached.
        """
        if record.driver == LOCAL:
            return self.local.with_options(record.options or {})
        return await self.plugins.get(record.driver)

    async def find_owner(self, name: str) -> str:
        """Return the plugin that has a volume of that name; empty if no plugin has it."""
        for plugin in await self.plugins.all():
            with contextlib.suppress(PluginFailure):
                if await plugin.find(name) is not None:
                    return plugin.client.name
        return ""

    def publish(self, action: str, name: str, **attributes: str) -> None:
        """Publish an event of a volume."""
        self.surroundings.events.publish("volume", action, name, attributes)
