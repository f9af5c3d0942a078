"""``engine.volumes``: the operations on volumes, and what containers need of them."""

from pathlib import Path
from typing import Any, Final

import structlog

from palan.api.errors import Unavailable
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
)
from palan.engine.set_aside import set_aside
from palan.engine.volumes.context import VolumeContext
from palan.engine.volumes.create import ensure_volume
from palan.engine.volumes.listing import (
    describe_volume,
    inspect_volume,
    list_volumes,
    measure_volumes,
)
from palan.engine.volumes.mount import mount_volume, unmount_stale, unmount_volume
from palan.engine.volumes.record import TABLE, VolumeRecord
from palan.engine.volumes.remove import prune_volumes, remove_unused, remove_volume
from palan.engine.volumes.surroundings import Surroundings
from palan.host.filesystem import remove_tree


__all__ = ["SCHEMA", "Volumes"]

SCHEMA: Final = TABLE.schema

_log: Any = structlog.get_logger("palan.engine.volumes")

_NO_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join"'
    " to connect this node to swarm and try again."
)


class Volumes:
    """The volumes of an engine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._context = VolumeContext(surroundings)

    def load(self) -> None:
        """Read the rows; remove empty directories without one, which a crash left behind.

        A directory with files is set aside: its row may have been damaged or lost.
        """
        context, engine = self._context, self._context.surroundings
        context.load()
        for directory in list(engine.paths.volumes.iterdir()):
            if directory.name in context.records:
                continue
            context.local.unmount(directory.name)
            if not context.local.is_empty(directory.name):
                kept = set_aside(engine.paths.set_aside, "volume", directory)
                _log.error(
                    "a directory belongs to no known volume and is set aside",
                    directory=str(directory),
                    kept=str(kept),
                )
                continue
            # In the background, as removing may take long.
            trash = context.local.move_to_trash(directory.name)
            engine.spawn(engine.slowly(remove_tree, trash))

    # ---- for containers ----------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return the directory with the files of a volume of the driver ``local``."""
        return self._context.local.path(name)

    async def ensure(
        self,
        name: str,
        *,
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> tuple[VolumeRecord, bool]:
        """Return the volume of that name, created if absent, see :func:`ensure_volume`."""
        return await ensure_volume(
            self._context, name, driver=driver, options=options, labels=labels
        )

    def use(self, name: str, container_id: str) -> None:
        """Note that a container refers to a volume, which is not removed meanwhile."""
        self._context.references.setdefault(name, set()).add(container_id)

    def is_used(self, name: str, *, besides: str) -> bool:
        """Whether a container other than ``besides`` refers to a volume."""
        return bool(self._context.references.get(name, set()) - {besides})

    def release(self, container_id: str) -> None:
        """Note that a container refers to no volume any more."""
        for users in self._context.references.values():
            users.discard(container_id)

    async def remove_anonymous(self, name: str) -> None:
        """Remove an anonymous volume with its container, unless another one uses it."""
        record = self._context.records.get(name)
        if record is not None and record.anonymous and not self._context.is_referenced(name):
            await remove_unused(self._context, record)

    async def mount(self, name: str, holder: str) -> str:
        """Mount a volume for a holder and return its path, see :func:`mount_volume`."""
        return await mount_volume(self._context, name, holder)

    async def unmount(self, name: str, holder: str) -> bool:
        """Undo :meth:`mount`, see :func:`unmount_volume`."""
        return await unmount_volume(self._context, name, holder)

    def adopt(self, name: str, holder: str) -> None:
        """Note that a volume is mounted for a container which runs already."""
        self._context.holders.setdefault(name, set()).add(holder)

    async def unmount_stale(self, alive: set[str]) -> None:
        """Unmount what was mounted for containers that do not run, once those are known."""
        await unmount_stale(self._context, alive)

    async def usage(self) -> list[Volume]:
        """Return the plain volumes with their sizes, for ``GET /system/df``."""
        return await measure_volumes(self._context)

    # ---- operations --------------------------------------------------------------

    async def list(self, request: VolumeList) -> VolumeListResponse:
        """``GET /volumes``."""
        return await list_volumes(self._context, request.filters)

    async def create(self, request: VolumeCreate) -> Volume:
        """``POST /volumes/create``; a volume that exists is returned as it is."""
        body = request.body
        if body.cluster_volume_spec is not None:
            raise Unavailable(_NO_SWARM)
        record, _ = await self.ensure(
            body.name,
            driver=body.driver,
            options=body.driver_opts or None,
            labels=body.labels,
        )
        return await describe_volume(self._context, record)

    async def inspect(self, request: VolumeInspect) -> Volume:
        """``GET /volumes/{name}``."""
        return await inspect_volume(self._context, request.name)

    async def update(self, request: VolumeUpdate) -> None:
        """``PUT /volumes/{name}``, which exists for volumes of a swarm only."""
        raise Unavailable(
            f"cannot update {request.name}: volume update only valid for cluster volumes, but swarm"
            " is unavailable"
        )

    async def remove(self, request: VolumeRemove) -> None:
        """``DELETE /volumes/{name}``."""
        await remove_volume(self._context, request.name, force=request.force)

    async def prune(self, request: VolumePrune) -> VolumePruneResponse:
        """``POST /volumes/prune``."""
        return await prune_volumes(self._context, request.filters)
