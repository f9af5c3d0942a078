"""The mounts of a new container: its volumes are found or created, and filled."""

import asyncio
import secrets
from dataclasses import dataclass, field

from msgspec.structs import replace

from palan.api.containers import ContainerConfig, HostConfig
from palan.api.errors import InvalidParameter, NotFound
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.copyup import fill_volumes, is_empty
from palan.engine.containers.engine_binds import with_propagation
from palan.engine.containers.record import MountRecord
from palan.engine.containers.validate_mounts import (
    MountRequest,
    mount_requests,
    parse_volumes_from,
)
from palan.engine.images.image import Image
from palan.engine.volumes.record import ANONYMOUS, LOCAL


__all__ = ["MountPlan", "hold_inherited", "make_mounts", "plan_mounts"]


@dataclass(frozen=True, slots=True)
class MountPlan:
    """The mounts that a container will have, before anything is created for them.

    Attributes:
        inherited: mounts of other containers (``VolumesFrom``).
        requests: all other mounts, with the names of volumes.
        anonymous: names of the anonymous volumes, which are removed with the last container
            that has them.
        images: the mounted images, by the names that the client gave.
    """

    inherited: list[MountRecord]
    requests: list[tuple[MountRequest, str]]
    anonymous: list[str]
    images: dict[str, Image] = field(default_factory=dict)


def plan_mounts(
    context: ContainerContext, config: ContainerConfig, host_config: HostConfig
) -> MountPlan:
    """Plan the mounts of a container.

    Raises:
        InvalidParameter, NotFound: a mount is malformed, or an image does not exist.
    """
    requests = [
        with_propagation(request, (context.paths.data_root, context.paths.exec_root))
        for request in mount_requests(config, host_config, lambda _path: True)
    ]
    asked_for = {r.destination for r in requests if not r.from_image}
    inherited = [m for m in _inherited(context, host_config) if m.destination not in asked_for]
    taken = {m.destination for m in inherited}
    plan = MountPlan(inherited, [], _shared_anonymous(context, inherited))
    for request in requests:
        if request.destination in taken:
            continue
        name = request.source if request.kind == "volume" else ""
        if request.kind == "volume" and not name:
            name = secrets.token_hex(32)
            plan.anonymous.append(name)
        if request.kind == "image":
            plan.images[request.source] = context.images.resolve(request.source)
        plan.requests.append((request, name))
    return plan


def hold_inherited(context: ContainerContext, container_id: str, plan: MountPlan) -> None:
    """Hold the volumes of other containers, before one of them can be removed."""
    for mount in plan.inherited:
        if mount.volume:
            context.volumes.use(mount.volume, container_id)


async def make_mounts(
    context: ContainerContext, container_id: str, plan: MountPlan, layers: list[str]
) -> list[MountRecord]:
    """Find or create the volumes, and fill empty ones with the image's files.

    The volumes are held for the container at once; inherited ones already were, by
    :func:`hold_inherited`.

    Raises:
        InvalidParameter, NotFound: a volume can't be created, or its driver does not exist.
    """
    pinned = context.paths.bundle(container_id) / "mounts"
    mounts = [
        replace(mount, source=str(pinned / str(number))) if mount.kind == "image" else mount
        for number, mount in enumerate(plan.inherited)
    ]
    fill: list[MountRecord] = []
    for request, name in plan.requests:
        if request.kind == "image":
            image, place = plan.images[request.source], pinned / str(len(mounts))
            mounts.append(_image(request, image, str(place)))
            continue
        if request.kind != "volume":
            mounts.append(_record(request, request.source))
            continue
        labels = {**(request.labels or {}), ANONYMOUS: ""} if not request.source else request.labels
        volume, made = await context.volumes.ensure(
            name,
            driver=request.driver,
            options=request.driver_options or None,
            labels=labels or None,
        )
        context.volumes.use(volume.name, container_id)
        source = context.volumes.path(volume.name)
        record = _record(request, str(source))
        record.volume, record.driver = volume.name, volume.driver
        if volume.driver != LOCAL:
            record.source, record.mode = volume.mountpoint, request.mode
        mounts.append(record)
        if request.copy and layers:
            mounted = volume.is_mounted_by_driver or request.subpath
            if mounted or made or await asyncio.to_thread(is_empty, source):
                fill.append(record)
    if fill:
        await fill_volumes(context, container_id, layers, fill)
    return mounts


def _image(request: MountRequest, image: Image, place: str) -> MountRecord:
    """Return the mount of an image."""
    record = _record(request, place)
    record.image, record.reference = image.id, request.source
    record.layers = [str(layer) for layer in image.layers]
    record.propagation = "rprivate"
    return record


def _record(request: MountRequest, source: str) -> MountRecord:
    # dockerd adds the relabelling option "z" to volumes of the short form.
    mode = request.mode
    if request.kind == "volume" and not mode and not request.from_image:
        mode = "z"
    return MountRecord(
        kind=request.kind,
        destination=request.destination,
        source=source,
        read_only=request.read_only,
        mode=mode,
        propagation=request.propagation,
        recursive=request.recursive,
        read_only_recursive=request.read_only_recursive,
        create_source=request.create_source,
        tmpfs_options=request.tmpfs_options,
        listed=request.listed,
        subpath=request.subpath,
    )


def _inherited(context: ContainerContext, host_config: HostConfig) -> list[MountRecord]:
    """Return the mounts of the containers of ``VolumesFrom``."""
    found: dict[str, MountRecord] = {}
    for text in host_config.volumes_from or ():
        reference, mode = parse_volumes_from(text)
        try:
            other = context.registry.get(reference)
        except NotFound as error:
            raise InvalidParameter(error.message) from None
        for mount in other.record.mounts:
            if mount.kind in ("bind", "volume", "image"):
                read_only = mount.read_only or "ro" in mode.split(",")
                found[mount.destination] = replace(mount, read_only=read_only)
    return list(found.values())


def _shared_anonymous(context: ContainerContext, inherited: list[MountRecord]) -> list[str]:
    names = {m.volume for m in inherited if m.volume}
    return sorted(names & {v for c in context.registry for v in c.record.anonymous_volumes})
