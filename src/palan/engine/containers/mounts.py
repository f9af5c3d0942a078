"""From what a client asks to have mounted to what will be: volumes found or made, and filled."""

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from palan.api.containers import ContainerConfig, HostConfig
from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.engine.containers.record import MountRecord
from palan.engine.containers.validate_mounts import (
    MountRequest,
    mount_requests,
    parse_volumes_from,
)
from palan.host.mounts import unmount
from palan.host.overlay import mount_overlay
from palan.host.rootfs import open_directory


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["resolve_mounts"]


async def resolve_mounts(
    engine: "Engine",
    container_id: str,
    config: ContainerConfig,
    host_config: HostConfig,
    layers: list[str],
) -> tuple[list[MountRecord], list[str]]:
    """What will be mounted, and the names of the anonymous volumes that were made for it.

    Volumes are noted as in use by the container at once.

    Raises:
        InvalidParameter, NotFound: a mount makes no sense, or its driver is not there.
    """
    requests = mount_requests(config, host_config, lambda _path: True)
    inherited = _inherited(engine, host_config)
    asked_for = {r.destination for r in requests if not r.from_image}
    mounts = [m for m in inherited if m.destination not in asked_for]
    taken = {m.destination for m in mounts}
    anonymous: list[str] = []
    fill: list[MountRecord] = []
    for request in requests:
        if request.destination in taken:
            continue
        if request.kind != "volume":
            mounts.append(_record(request, request.source))
            continue
        try:
            volume, made = await engine.volumes.ensure(
                request.source,
                driver=request.driver,
                options=request.driver_options or None,
                labels=request.labels or None,
            )
        except NotFound as error:
            raise NotFound(f"create {request.source}: {error.message}") from None
        engine.volumes.use(volume.name, container_id)
        if not request.source:
            anonymous.append(volume.name)
        source = engine.volumes.path(volume.name)
        record = _record(request, str(source / request.subpath if request.subpath else source))
        record.volume = volume.name
        mounts.append(record)
        if request.copy and (made or _is_empty(source)):
            fill.append(record)
    for mount in mounts:
        if mount.volume:
            engine.volumes.use(mount.volume, container_id)
    if fill:
        await asyncio.to_thread(_fill, engine, container_id, layers, fill)
    return mounts, anonymous


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
                copied = _copy(mount)
                copied.read_only = mount.read_only or "ro" in mode.split(",")
                found[copied.destination] = copied
    return list(found.values())


def _copy(mount: MountRecord) -> MountRecord:
    return MountRecord(**{name: getattr(mount, name) for name in mount.__struct_fields__})


def _is_empty(directory: Path) -> bool:
    return not any(directory.iterdir())


def _fill(engine: "Engine", container_id: str, layers: list[str], fill: list[MountRecord]) -> None:
    """Copy what the image has at a volume's destination into the empty volume."""
    rootfs = engine.paths.tmp / f"fill-{container_id}"
    rootfs.mkdir()
    mount_overlay([Path(layer) for layer in reversed(layers)], None, None, rootfs)
    try:
        for mount in fill:
            _copy_up(rootfs, mount)
    finally:
        unmount(rootfs, lazy=True)
        rootfs.rmdir()


def _copy_up(rootfs: Path, mount: MountRecord) -> None:
    with open_directory(rootfs, mount.destination) as source:
        if source is None:
            return
        # Through the descriptor: a link in the image can't lead anywhere else.
        result = subprocess.run(
            ["cp", "-a", "--", f"/proc/self/fd/{source}/.", mount.source],
            check=False, capture_output=True, pass_fds=(source,),
        )  # fmt: skip
    if result.returncode:
        raise InternalError(
            f"failed to copy image content to volume {mount.volume}:"
            f" {result.stderr.decode(errors='replace').strip()}"
        )
