"""From what a client asks to have mounted to what will be: volumes found or made, and filled."""

import asyncio
import errno
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from palan.api.containers import ContainerConfig, HostConfig
from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.engine.containers.record import MountRecord
from palan.engine.containers.validate_mounts import (
    MountRequest,
    mount_requests,
    parse_volumes_from,
)
from palan.engine.volumes.room import ANONYMOUS
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount
from palan.host.overlay import mount_overlay
from palan.host.rootfs import open_directory


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["MountPlan", "hold_inherited", "make_mounts", "plan_mounts"]


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What a container will have mounted, before anything is made for it.

    Attributes:
        inherited: mounts of other containers (``VolumesFrom``).
        requests: the others, a volume's with its name.
        anonymous: names of the volumes that nobody named; they go with the last container
            that has them.
    """

    inherited: list[MountRecord]
    requests: list[tuple[MountRequest, str]]
    anonymous: list[str]


def plan_mounts(engine: "Engine", config: ContainerConfig, host_config: HostConfig) -> MountPlan:
    """What will be mounted.

    Raises:
        InvalidParameter, NotFound: a mount makes no sense.
    """
    requests = mount_requests(config, host_config, lambda _path: True)
    asked_for = {r.destination for r in requests if not r.from_image}
    inherited = [m for m in _inherited(engine, host_config) if m.destination not in asked_for]
    taken = {m.destination for m in inherited}
    plan = MountPlan(inherited, [], _shared_anonymous(engine, inherited))
    for request in requests:
        if request.destination in taken:
            continue
        name = request.source if request.kind == "volume" else ""
        if request.kind == "volume" and not name:
            name = secrets.token_hex(32)
            plan.anonymous.append(name)
        plan.requests.append((request, name))
    return plan


def hold_inherited(engine: "Engine", container_id: str, plan: MountPlan) -> None:
    """Note the volumes of other containers as in use, before one of them can be removed."""
    for mount in plan.inherited:
        if mount.volume:
            engine.volumes.use(mount.volume, container_id)


async def make_mounts(
    engine: "Engine", container_id: str, plan: MountPlan, layers: list[str]
) -> list[MountRecord]:
    """Find or make the volumes, and fill new ones with what the image has there.

    Volumes are noted as in use by the container at once; those that are inherited are
    already, by :func:`hold_inherited`.

    Raises:
        InvalidParameter, NotFound: a volume can't be made, or its driver is not there.
    """
    mounts = list(plan.inherited)
    fill: list[MountRecord] = []
    for request, name in plan.requests:
        if request.kind != "volume":
            mounts.append(_record(request, request.source))
            continue
        labels = {**(request.labels or {}), ANONYMOUS: ""} if not request.source else request.labels
        volume, made = await engine.volumes.ensure(
            name,
            driver=request.driver,
            options=request.driver_options or None,
            labels=labels or None,
        )
        engine.volumes.use(volume.name, container_id)
        source = engine.volumes.path(volume.name)
        record = _record(request, str(source / request.subpath if request.subpath else source))
        record.volume = volume.name
        mounts.append(record)
        if request.copy and layers and (made or await asyncio.to_thread(_is_empty, source)):
            fill.append(record)
    if fill:
        await asyncio.to_thread(_fill, engine, container_id, layers, fill)
    return mounts


def _record(request: MountRequest, source: str) -> MountRecord:
    # As inspect shows them, volumes of the short form are relabelled if need be ("z").
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
    )


def _inherited(engine: "Engine", host_config: HostConfig) -> list[MountRecord]:
    """The mounts of the containers of ``VolumesFrom``."""
    found: dict[str, MountRecord] = {}
    for text in host_config.volumes_from or ():
        reference, mode = parse_volumes_from(text)
        try:
            other = engine.containers.registry.get(reference)
        except NotFound as error:
            raise InvalidParameter(error.message) from None
        for mount in other.record.mounts:
            if mount.kind in ("bind", "volume"):
                read_only = mount.read_only or "ro" in mode.split(",")
                found[mount.destination] = replace(mount, read_only=read_only)
    return list(found.values())


def _shared_anonymous(engine: "Engine", inherited: list[MountRecord]) -> list[str]:
    names = {m.volume for m in inherited if m.volume}
    return sorted(
        names & {v for c in engine.containers.registry for v in c.record.anonymous_volumes}
    )


def _is_empty(directory: Path) -> bool:
    with os.scandir(directory) as entries:  # which reads no more than it is asked for
        return next(entries, None) is None


def _fill(engine: "Engine", container_id: str, layers: list[str], fill: list[MountRecord]) -> None:
    """Copy what the image has at a volume's destination into the empty volume."""
    rootfs = engine.paths.tmp / f"fill-{container_id}"
    rootfs.mkdir()
    mount_overlay([Path(layer) for layer in reversed(layers)], None, None, rootfs)
    try:
        for mount in fill:
            with open_directory(rootfs, mount.destination) as source:
                if source is not None:
                    _copy_up(engine, container_id, source, mount)
    finally:
        unmount(rootfs, lazy=True)
        rootfs.rmdir()


def _copy_up(engine: "Engine", container_id: str, source: int, mount: MountRecord) -> None:
    target = Path(mount.source)
    if target != engine.volumes.path(mount.volume) or engine.volumes.is_used(
        mount.volume, besides=container_id
    ):
        _copy_tree(source, target, mount.volume)
        return
    # All or nothing: what a crash leaves half filled would not be filled again.
    draft = engine.paths.tmp / f"filled-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o755)
    try:
        _copy_tree(source, draft, mount.volume)
        draft.rename(target)
    except OSError as error:
        # Somebody else may have filled it meanwhile; or volumes are a file system of their own.
        if error.errno == errno.EXDEV:
            _copy_tree(source, target, mount.volume)
        elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        remove_tree(draft)


def _copy_tree(source: int, target: Path, volume: str) -> None:
    # Through the descriptor: a link in the image can't lead anywhere else.
    result = subprocess.run(
        ["cp", "-a", "--", f"/proc/self/fd/{source}/.", target],
        check=False, capture_output=True, pass_fds=(source,),
    )  # fmt: skip
    if result.returncode:
        raise InternalError(
            f"failed to copy image content to volume {volume}:"
            f" {result.stderr.decode(errors='replace').strip()}"
        )
