"""The volumes of an engine: who made them, who keeps their files, and who uses them."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from palan.api import Filters
from palan.api.errors import (
    Conflict,
    InternalError,
    InvalidParameter,
    NotFound,
    PalanError,
    Unavailable,
)
from palan.api.volumes import (
    Volume,
    VolumeCreate,
    VolumeInspect,
    VolumeList,
    VolumeListResponse,
    VolumePrune,
    VolumePruneResponse,
    VolumeRemove,
    VolumeUpdate,
    VolumeUsageData,
)
from palan.engine.volumes.drivers import Driver, PluginDriver, PluginDrivers
from palan.engine.volumes.listing import describe, list_volumes, wants_all
from palan.engine.volumes.local import LocalDriver
from palan.engine.volumes.names import check_name
from palan.engine.volumes.options import check_options
from palan.engine.volumes.record import ANONYMOUS, LOCAL, TABLE, VolumeRecord
from palan.host.filesystem import directory_size, remove_tree
from palan.plugins import PluginFailure, PluginNotFound


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["SCHEMA", "Volumes"]

SCHEMA: Final = TABLE.schema

_NO_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join"'
    " to connect this node to swarm and try again."
)


class _Turn:
    """Whose turn it is at one volume, as long as anybody wants it."""

    __slots__ = ("lock", "wanted")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Volumes:
    """``engine.volumes``."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._local = LocalDriver(engine)
        self._plugins = PluginDrivers(engine.drivers)
        self._volumes: dict[str, VolumeRecord] = {}
        self._users: dict[str, set[str]] = {}
        self._held: dict[str, set[str]] = {}
        self._turns: dict[str, _Turn] = {}

    def load(self) -> None:
        """Read the rows; remove directories without one, which a crash left behind."""
        self._volumes = dict(TABLE.load(self._engine.db))
        for record in self._volumes.values():
            self._held[record.name] = set(record.holders)
        for directory in list(self._engine.paths.volumes.iterdir()):
            if directory.name not in self._volumes:
                # Behind everybody's back: it may be large.
                trash = self._local.set_aside(directory.name)
                self._engine.spawn(self._engine.slowly(remove_tree, trash))

    # ---- for containers ----------------------------------------------------------

    def path(self, name: str) -> Path:
        """The directory with the files of a volume of the driver ``local``."""
        return self._local.path(name)

    async def ensure(
        self,
        name: str,
        *,
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> tuple[VolumeRecord, bool]:
        """The volume of that name, made if there is none; whether it was made.

        An empty name makes an anonymous volume.

        Raises:
            InvalidParameter: the name or an option makes no sense.
            NotFound: there is no such driver.
            Conflict: another driver has a volume of that name.
            InternalError: the driver can't.
        """
        if not name:
            name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS: ""}
            driver = driver or LOCAL
        async with self._locked(name):
            record = await self._existing(name, driver)
            if record is not None:
                return record, False
            driver = driver or await self._owner(name) or LOCAL
            if driver == LOCAL:
                check_name(name)
                check_options(name, options or {})
                self._local.create(name)
            else:
                with _failures("create", name, driver):
                    plugin = await self._plugins.get(driver)
                    if await plugin.find(name) is None:
                        await plugin.create(name, options or {})
            record = VolumeRecord(
                name=name, created=time.time_ns(), driver=driver, labels=labels, options=options
            )
            await TABLE.put(self._engine.db, name, record)
            self._volumes[name] = record
        self._engine.events.publish("volume", "create", name, {"driver": driver})
        return record, True

    async def _existing(self, name: str, driver: str) -> VolumeRecord | None:
        """The volume as we know it, if it still is there.

        Raises:
            Conflict: it is another driver's, or it is in use and its driver has lost it.
        """
        record = self._volumes.get(name)
        if record is None:
            return None
        if driver not in ("", record.driver):
            if driver != LOCAL:
                with _failures("create", name, driver):
                    await self._plugins.get(driver)
            raise Conflict(
                f"create {name}: driver '{record.driver}' already has volume '{name}':"
                " volume name must be unique"
            )
        if record.driver == LOCAL:
            # Somebody may have removed its directories.
            self._local.create(name)
            return record
        with _failures("create", name, record.driver):
            plugin = await self._plugins.get(record.driver)
            if await plugin.find(name) is not None:
                return record
        if self._users.get(name):
            raise Conflict(
                f"create {name}: found references to volume '{name}' in driver '{record.driver}'"
                " but the volume was not found in the driver -- you may need to remove containers"
                " referencing this volume or force remove the volume to re-create it: volume name"
                " must be unique"
            )
        await self._forget(record)
        return None

    async def _owner(self, name: str) -> str:
        """The driver that has a volume which we do not know; empty for none."""
        for plugin in await self._plugins.all():
            with contextlib.suppress(PluginFailure):
                if await plugin.find(name) is not None:
                    return plugin.client.name
        return ""

    def use(self, name: str, container_id: str) -> None:
        """Note that a container refers to a volume."""
        self._users.setdefault(name, set()).add(container_id)

    def is_used(self, name: str, *, besides: str) -> bool:
        """Whether a container other than ``besides`` refers to a volume."""
        return bool(self._users.get(name, set()) - {besides})

    def release(self, container_id: str) -> None:
        """Note that a container refers to no volume any more."""
        for users in self._users.values():
            users.discard(container_id)

    async def remove_anonymous(self, name: str) -> None:
        """Remove an anonymous volume with its container, unless another one uses it."""
        record = self._volumes.get(name)
        if record is not None and record.anonymous and not self._users.get(name):
            await self._delete(record)

    # ---- mounting ----------------------------------------------------------------

    async def mount(self, name: str, holder: str) -> str:
        """Have the files of a volume in place; where they are.

        Args:
            name: of the volume.
            holder: who needs them, as the driver is told: a container's id, or another one.

        Raises:
            NotFound: the volume or its driver is gone.
            InvalidParameter: what its options name can't be mounted.
            InternalError: the driver can't.
        """
        async with self._locked(name):
            record = self._get(name)
            held = self._held.setdefault(name, set())
            if not record.is_mounted_by_driver:
                self._local.create(name)
                held.add(holder)
                return str(self.path(name))
            if holder not in record.holders:
                # A start that finds it knows what to undo.
                record.holders.append(holder)
                await TABLE.put(self._engine.db, name, record)
            held.add(holder)
            try:
                with _failures(f"error while mounting volume '{record.mountpoint or name}'"):
                    driver = await self._driver(record)
                    record.mountpoint = await driver.mount(name, holder)
            except BaseException:
                await self._let_go(record, holder)
                raise
            await TABLE.put(self._engine.db, name, record)
            return record.mountpoint

    async def unmount(self, name: str, holder: str) -> bool:
        """Undo :meth:`mount`; False where there is nothing to undo.

        Raises:
            PalanError, OSError: the driver can't; it is not asked again.
        """
        if holder not in self._held.get(name, ()):
            return False
        async with self._locked(name):
            record = self._volumes.get(name)
            if record is None or holder not in self._held.get(name, ()):
                return False
            if not record.is_mounted_by_driver:
                self._held[name].discard(holder)
                return True
            try:
                # The local driver has one mount for all.
                if record.driver != LOCAL or len(record.holders) <= 1:
                    with _failures(f"error while unmounting volume '{name}'"):
                        driver = await self._driver(record)
                        await driver.unmount(name, holder)
            finally:
                await self._let_go(record, holder)
            return True

    async def _let_go(self, record: VolumeRecord, holder: str) -> None:
        self._held.get(record.name, set()).discard(holder)
        if holder in record.holders:
            record.holders.remove(holder)
            if not record.holders:
                record.mountpoint = ""
            await TABLE.put(self._engine.db, record.name, record)

    def adopt(self, name: str, holder: str) -> None:
        """Note that a container which runs has a volume mounted."""
        self._held.setdefault(name, set()).add(holder)

    async def settle(self, alive: set[str]) -> None:
        """Unmount what was mounted for somebody who is gone; once containers are known.

        Args:
            alive: ids of the containers that run.
        """
        for record in list(self._volumes.values()):
            for holder in set(record.holders) - alive:
                try:
                    await self.unmount(record.name, holder)
                except (PalanError, OSError) as error:
                    self._engine.log.warning(
                        "volume stays mounted", volume=record.name, reason=str(error)
                    )

    async def _driver(self, record: VolumeRecord) -> Driver:
        if record.driver == LOCAL:
            return self._local.with_options(record.options or {})
        return await self._plugins.get(record.driver)

    @contextlib.asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[None]:
        """One at a time for each volume: a driver may be slow, and only its own users wait."""
        turn = self._turns.setdefault(name, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[name]

    # ---- operations --------------------------------------------------------------

    def _get(self, name: str) -> VolumeRecord:
        try:
            return self._volumes[name]
        except KeyError:
            raise NotFound(f"get {name}: no such volume") from None

    async def usage(self) -> list[Volume]:
        """All volumes that are plain directories with their sizes, for ``GET /system/df``."""
        volumes = []
        for record in list(self._volumes.values()):
            if record.is_plain:
                volume = describe(self, record)
                volume.usage_data = VolumeUsageData(
                    size=await self._engine.slowly(directory_size, self.path(record.name)),
                    ref_count=len(self._users.get(record.name, ())),
                )
                volumes.append(volume)
        return volumes

    async def list(self, request: VolumeList) -> VolumeListResponse:
        """``GET /volumes``."""
        return await list_volumes(
            self,
            request.filters,
            records=list(self._volumes.values()),
            plugins=self._plugins,
            is_used=lambda name: bool(self._users.get(name)),
        )

    async def create(self, request: VolumeCreate) -> Volume:
        """``POST /volumes/create``; one that exists is answered as it is."""
        body = request.body
        if body.cluster_volume_spec is not None:
            raise Unavailable(_NO_SWARM)
        record, _ = await self.ensure(
            body.name,
            driver=body.driver,
            options=body.driver_opts or None,
            labels=body.labels,
        )
        return await self._described(record, status=False)

    async def inspect(self, request: VolumeInspect) -> Volume:
        """``GET /volumes/{name}``."""
        record = self._volumes.get(request.name)
        if record is None and (driver := await self._owner(request.name)):
            record = VolumeRecord(name=request.name, created=0, driver=driver)
        return await self._described(record or self._get(request.name), status=True)

    async def _described(self, record: VolumeRecord, *, status: bool) -> Volume:
        if record.driver == LOCAL:
            return describe(self, record)
        with _failures("get", record.name, record.driver):
            plugin: PluginDriver = await self._plugins.get(record.driver)
            found = await plugin.find(record.name)
            if found is None:
                raise NotFound(f"get {record.name}: no such volume")
            volume = describe(self, record, found, scope=await plugin.scope())
            if status and found.status:
                volume.status = dict(found.status)
            return volume

    async def update(self, request: VolumeUpdate) -> None:
        """``PUT /volumes/{name}``: of volumes of a swarm only."""
        raise Unavailable(
            f"cannot update {request.name}: volume update only valid for cluster volumes, but swarm"
            " is unavailable"
        )

    async def remove(self, request: VolumeRemove) -> None:
        """``DELETE /volumes/{name}``.

        Raises:
            NotFound: there is none, and ``force`` is not given.
            Conflict: a container refers to it.
            InternalError: its driver can't; with ``force`` it is forgotten all the same.
        """
        name = request.name
        record = self._volumes.get(name)
        if record is None and (driver := await self._owner(name)):
            record = VolumeRecord(name=name, created=0, driver=driver)
            self._volumes[name] = record
        if record is None and request.force:
            return
        record = self._get(name)
        if users := self._users.get(name):
            ids = ", ".join(sorted(users))
            raise Conflict(f"remove {name}: volume is in use - [{ids}]")
        if not await self._delete(record, force=request.force):
            self._get(name)  # it may be gone meanwhile
            raise Conflict(f"remove {name}: volume is in use")

    async def prune(self, request: VolumePrune) -> VolumePruneResponse:
        """``POST /volumes/prune``: unused anonymous volumes, or all unused with ``all``.

        Those with options, and those of other drivers, are never pruned.
        """
        filters: Filters = request.filters
        filters.accept("all", "label", "label!")
        everything = wants_all(filters)
        deleted: list[str] = []
        reclaimed = 0
        for record in list(self._volumes.values()):
            if self._users.get(record.name) or not filters.labels(record.labels):
                continue
            if record.is_plain and (everything or record.anonymous):
                size = await self._engine.slowly(directory_size, self.path(record.name))
                if await self._delete(record):
                    reclaimed += size
                    deleted.append(record.name)
        self._engine.events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return VolumePruneResponse(volumes_deleted=deleted, space_reclaimed=reclaimed)

    async def _delete(self, record: VolumeRecord, *, force: bool = False) -> bool:
        """Delete a volume; False if a container came to use it, or it is gone already."""
        name = record.name
        trash: Path | None = None
        async with self._locked(name):
            if self._volumes.get(name) is not record or self._users.get(name):
                return False
            if record.driver == LOCAL:
                # The row goes first: a directory without a row is removed at the next start.
                await self._forget(record)
                trash = await asyncio.to_thread(self._local.set_aside, name)
            else:
                try:
                    with _failures("remove", name, record.driver):
                        await (await self._plugins.get(record.driver)).remove(name)
                except PalanError:
                    if force:
                        await self._forget(record)
                    raise
                await self._forget(record)
        if trash is not None:
            await self._engine.slowly(remove_tree, trash)
        self._engine.events.publish("volume", "destroy", name, {"driver": record.driver})
        return True

    async def _forget(self, record: VolumeRecord) -> None:
        await TABLE.delete(self._engine.db, record.name)
        self._volumes.pop(record.name, None)
        self._users.pop(record.name, None)
        self._held.pop(record.name, None)


@contextlib.contextmanager
def _failures(what: str, name: str = "", driver: str = "") -> Iterator[None]:
    """Failures of drivers as answers, in dockerd's words: what was done, to what, and why."""
    prefix = f"{what} {name}" if name else what
    try:
        yield
    except PluginNotFound as failure:
        looking = f"error looking up volume plugin {driver}: " if driver else ""
        raise NotFound(f"{prefix}: {looking}{failure.message}") from None
    except PluginFailure as failure:
        raise InternalError(f"{prefix}: {failure.message}") from None
    except InvalidParameter as error:
        if name:
            raise
        raise InvalidParameter(f"{prefix}: {error.message}") from None
