"""The volumes of an engine and who uses them."""

import asyncio
import contextlib
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from palan.api import Filters
from palan.api.errors import (
    Conflict,
    InvalidParameter,
    NotFound,
    NotYetImplemented,
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
    VolumeUsageData,
)
from palan.engine.containers.container import go_time
from palan.engine.volumes.options import check_options
from palan.host.filesystem import directory_size, remove_tree
from palan.store.documents import Documents


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["SCHEMA", "VolumeRecord", "Volumes"]

ANONYMOUS: Final = "com.docker.volume.anonymous"
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_MAX: Final = 255
"""Bytes of a file name."""


class VolumeRecord(msgspec.Struct, kw_only=True):
    """The durable part of a volume; ``created`` in nanoseconds since the epoch."""

    name: str
    created: int
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        """Whether it was made for one container that did not name it."""
        return ANONYMOUS in (self.labels or {})


_TABLE: Final = Documents("volumes", VolumeRecord)
SCHEMA: Final = _TABLE.schema


class Volumes:
    """``engine.volumes``."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._volumes: dict[str, VolumeRecord] = {}
        self._users: dict[str, set[str]] = {}
        self._lock = asyncio.Lock()

    def load(self) -> None:
        """Read the rows; remove directories without one, which a crash left behind."""
        self._volumes = dict(_TABLE.load(self._engine.db))
        for directory in list(self._engine.paths.volumes.iterdir()):
            if directory.name not in self._volumes:
                # Behind everybody's back: it may be large.
                trash = directory.rename(self._engine.paths.tmp / f"swept-{directory.name}")
                self._engine.spawn(asyncio.to_thread(remove_tree, trash))

    # ---- for containers ----------------------------------------------------------

    def path(self, name: str) -> Path:
        """The directory with the volume's files."""
        return self._engine.paths.volumes / name / "_data"

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
            NotYetImplemented: options of the local driver.
        """
        if driver not in ("", "local"):
            raise NotFound(
                f"create {name}: error looking up volume plugin {driver}:"
                f' plugin "{driver}" not found'
            )
        if options and name not in self._volumes:
            check_options(name, options)
            raise NotYetImplemented(
                "options of the local volume driver (type, device, o) are not implemented yet"
            )
        if not name:
            name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS: ""}
        elif len(name) < 2:
            raise InvalidParameter(
                f"create {name}: volume name is too short, names should be at least two"
                " alphanumeric characters"
            )
        elif len(name) > NAME_MAX:
            raise InvalidParameter(
                f"create {name}: volume name is too long, names should be at most {NAME_MAX}"
                " characters"
            )
        elif not NAME.fullmatch(name):
            raise InvalidParameter(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only'
                ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host'
                " directory, use absolute path"
            )
        async with self._lock:
            data = self.path(name)
            # They may be there, if the row could not be written the last time; and somebody
            # may have removed those of a volume that has a row.
            data.parent.mkdir(mode=0o701, exist_ok=True)
            data.mkdir(mode=0o755, exist_ok=True)
            if name in self._volumes:
                return self._volumes[name], False
            record = VolumeRecord(name=name, created=time.time_ns(), labels=labels, options=options)
            await _TABLE.put(self._engine.db, name, record)
            self._volumes[name] = record
        self._engine.events.publish("volume", "create", name, {"driver": "local"})
        return record, True

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

    async def usage(self) -> list[Volume]:
        """All volumes with their sizes, for ``GET /system/df``."""
        volumes = []
        for record in list(self._volumes.values()):
            volume = self._describe(record)
            volume.usage_data = VolumeUsageData(
                size=await self._engine.slowly(directory_size, self.path(record.name)),
                ref_count=len(self._users.get(record.name, ())),
            )
            volumes.append(volume)
        return volumes

    # ---- operations --------------------------------------------------------------

    def _get(self, name: str) -> VolumeRecord:
        try:
            return self._volumes[name]
        except KeyError:
            raise NotFound(f"get {name}: no such volume") from None

    def _describe(self, record: VolumeRecord) -> Volume:
        return Volume(
            name=record.name,
            driver="local",
            mountpoint=str(self.path(record.name)),
            created_at=go_time(record.created // 1_000_000_000 * 1_000_000_000),
            labels=record.labels,
            options=record.options,
            scope="local",
        )

    async def list(self, request: VolumeList) -> VolumeListResponse:
        """``GET /volumes``."""
        filters = request.filters
        filters.accept("dangling", "driver", "label", "name")
        wanted = filters.boolean("dangling", default=False)
        found = [
            self._describe(record)
            for record in sorted(self._volumes.values(), key=lambda r: r.name)
            if ("dangling" not in filters or wanted is not bool(self._users.get(record.name)))
            and filters.exact("driver", "local")
            and filters.labels(record.labels)
            and _is_named(record, filters)
        ]
        return VolumeListResponse(volumes=found, warnings=None)

    async def create(self, request: VolumeCreate) -> Volume:
        """``POST /volumes/create``; one that exists is answered as it is."""
        body = request.body
        if body.cluster_volume_spec is not None:
            raise Unavailable(
                'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join"'
                " to connect this node to swarm and try again."
            )
        record, _ = await self.ensure(
            body.name,
            driver=body.driver,
            options=body.driver_opts or None,
            labels=body.labels,
        )
        return self._describe(record)

    async def inspect(self, request: VolumeInspect) -> Volume:
        """``GET /volumes/{name}``."""
        return self._describe(self._get(request.name))

    async def remove(self, request: VolumeRemove) -> None:
        """``DELETE /volumes/{name}``.

        Raises:
            NotFound: there is none, and ``force`` is not given.
            Conflict: a container refers to it.
        """
        if request.force and request.name not in self._volumes:
            return
        record = self._get(request.name)
        if users := self._users.get(record.name):
            ids = ", ".join(sorted(users))
            raise Conflict(f"remove {record.name}: volume is in use - [{ids}]")
        if not await self._delete(record):
            self._get(record.name)  # it may be gone meanwhile
            raise Conflict(f"remove {record.name}: volume is in use")

    async def prune(self, request: VolumePrune) -> VolumePruneResponse:
        """``POST /volumes/prune``: unused anonymous volumes, or all unused with ``all``."""
        filters: Filters = request.filters
        filters.accept("all", "label", "label!")
        everything = _wants_all(filters)
        deleted: list[str] = []
        reclaimed = 0
        for record in list(self._volumes.values()):
            if self._users.get(record.name) or not filters.labels(record.labels):
                continue
            if everything or record.anonymous:
                size = await self._engine.slowly(directory_size, self.path(record.name))
                if await self._delete(record):
                    reclaimed += size
                    deleted.append(record.name)
        self._engine.events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return VolumePruneResponse(volumes_deleted=deleted, space_reclaimed=reclaimed)

    async def _delete(self, record: VolumeRecord) -> bool:
        """Delete a volume; False if a container came to use it, or it is gone already."""
        async with self._lock:
            if self._volumes.get(record.name) is not record or self._users.get(record.name):
                return False
            directory = self._engine.paths.volumes / record.name
            trash = self._engine.paths.tmp / f"volume-{secrets.token_hex(8)}"
            # The row goes first: a directory without a row is removed at the next start.
            await _TABLE.delete(self._engine.db, record.name)
            del self._volumes[record.name]
            self._users.pop(record.name, None)
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                directory.rename(trash)
        await self._engine.slowly(remove_tree, trash)
        self._engine.events.publish("volume", "destroy", record.name, {"driver": "local"})
        return True


def _is_named(record: VolumeRecord, filters: Filters) -> bool:
    return filters.matches("name", lambda part: part in record.name)


def _wants_all(filters: Filters) -> bool:
    try:
        return filters.boolean("all", default=False)
    except InvalidParameter:
        text = " ".join(filters.get("all"))
        raise InvalidParameter(
            f"invalid filter 'all': strconv.ParseBool: parsing \"{text}\": invalid syntax"
        ) from None
