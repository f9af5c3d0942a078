"""The sources of a container's mounts on the host, while it runs or its files are accessed.

Volumes may have to be mounted by their drivers first, and images by the engine.  A subpath of
a volume or an image is looked up once, without leaving the volume, and bind-mounted to a
directory of the engine: changes that a container makes to the volume meanwhile can't lead the
runtime elsewhere.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter, NotFound, PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.record import MountRecord
from palan.host import syscalls
from palan.host.mounts import unmount
from palan.host.overlay import mount_overlay


__all__ = [
    "hold_volumes",
    "host_source",
    "make_bind_sources",
    "mount_parts",
    "open_part",
    "publish_mounts",
    "publish_unmounts",
    "release_volumes",
    "unmount_parts",
]

_BENEATH: Final = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS


# ---- volumes --------------------------------------------------------------------


async def hold_volumes(
    context: ContainerContext, mounts: Iterable[MountRecord], holder: str
) -> None:
    """Have all volumes mounted by their drivers, and set the sources of the mounts.

    Args:
        context: the context of the room.
        mounts: the mounts of a container.
        holder: the id that holds them, see :meth:`palan.engine.volumes.Volumes.mount`.

    Raises:
        PalanError: one can't be mounted; none is held then.
    """
    held: dict[str, str] = {}
    try:
        for mount in mounts:
            if not mount.volume:
                continue
            if mount.volume not in held:
                held[mount.volume] = await context.volumes.mount(mount.volume, holder)
            mount.source = held[mount.volume]
    except BaseException:
        for name in held:
            await _release(context, name, holder)
        raise


async def release_volumes(
    context: ContainerContext, mounts: Iterable[MountRecord], holder: str
) -> list[str]:
    """Undo :func:`hold_volumes`; harmless for volumes that are not held.

    Returns:
        the volumes that were held.
    """
    names = dict.fromkeys(mount.volume for mount in mounts if mount.volume)
    return [name for name in names if await _release(context, name, holder)]


async def _release(context: ContainerContext, name: str, holder: str) -> bool:
    try:
        return await context.volumes.unmount(name, holder)
    except (PalanError, OSError) as error:
        context.log.warning("volume stays mounted", volume=name, reason=str(error))
        return True


def publish_mounts(context: ContainerContext, container: Container) -> None:
    """Publish that the container's volumes are mounted."""
    for mounted in container.record.mounts:
        if mounted.volume:
            context.events.publish(
                "volume",
                "mount",
                mounted.volume,
                {
                    "driver": mounted.driver,
                    "container": container.id,
                    "destination": mounted.destination,
                    "read/write": "false" if mounted.read_only else "true",
                    "propagation": mounted.propagation,
                },
            )


def publish_unmounts(
    context: ContainerContext, container: Container, volumes: Iterable[str]
) -> None:
    """Publish that volumes of the container are no longer mounted for it."""
    drivers = {mount.volume: mount.driver for mount in container.record.mounts}
    for name in volumes:
        attributes = {"driver": drivers[name], "container": container.id}
        context.events.publish("volume", "unmount", name, attributes)


# ---- directories of the host ----------------------------------------------------


def make_bind_sources(mounts: Iterable[MountRecord]) -> None:
    """Make the directories of the host that are to be bound, where that was asked for.

    Raises:
        InvalidParameter: one can't be made, or does not exist; in dockerd's words.
    """
    for wanted in mounts:
        if wanted.kind != "bind":
            continue
        if wanted.create_source:
            _make_bind_source(Path(wanted.source))
        elif not os.path.lexists(wanted.source):
            raise InvalidParameter(
                f'invalid mount config for type "bind": bind source path does not exist:'
                f" {wanted.source}"
            )


def _make_bind_source(path: Path) -> None:
    try:
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # mkdir(2) fails so for a dangling link.
        why = "file exists" if isinstance(error, FileExistsError) else str(error.strerror).lower()
        raise InvalidParameter(
            f"error while creating mount source path '{path}': mkdir {path}: {why}"
        ) from None


# ---- parts of volumes, and images -----------------------------------------------


def host_source(directory: Path, number: int, mount: MountRecord) -> str:
    """Return the path of a mount's files on the host, once :func:`mount_parts` was called.

    Args:
        directory: the container's bundle.
        number: the mount's place in the list of the container's mounts.
        mount: the mount.
    """
    if mount.subpath or mount.kind == "image":
        return str(directory / "mounts" / str(number))
    return mount.source


def mount_parts(directory: Path, mounts: Iterable[MountRecord]) -> None:
    """Mount images, and bind-mount subpaths of volumes and images, in the bundle; blocking.

    Raises:
        NotFound: a subpath does not exist.
        InvalidParameter: a subpath leads out of its volume or image.
        OSError: something can't be mounted.
    """
    for number, mount in enumerate(mounts):
        if not mount.subpath and mount.kind != "image":
            continue
        place = directory / "mounts" / str(number)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        base = Path(mount.source)
        if mount.kind == "image":
            base = directory / "mounts" / f"{number}-image" if mount.subpath else place
            base.mkdir(mode=0o700)
            mount_image(mount.layers, base)
        if mount.subpath:
            _bind_part(base, mount.subpath, place)


def mount_image(layers: list[str], target: Path) -> None:
    """Mount the layers of an image, the lowest first, read-only."""
    mount_overlay([Path(layer) for layer in reversed(layers)], None, None, target)


def unmount_parts(directory: Path) -> None:
    """Undo :func:`mount_parts`; blocking."""
    try:
        places = sorted((directory / "mounts").iterdir(), key=lambda p: p.name.endswith("-image"))
    except (FileNotFoundError, NotADirectoryError):
        return
    for place in places:
        while unmount(place, lazy=True):
            pass


def _bind_part(base: Path, subpath: str, place: Path) -> None:
    found = open_part(base, subpath)
    try:
        if stat.S_ISDIR(os.fstat(found).st_mode):
            place.mkdir(mode=0o700)
        else:
            place.touch(mode=0o600)
        syscalls.mount(f"/proc/self/fd/{found}", place, None, syscalls.MS_BIND | syscalls.MS_REC)
    finally:
        os.close(found)


def open_part(base: Path, subpath: str) -> int:
    """Open the file or directory at ``subpath``, which must lie below ``base``.

    Raises:
        NotFound: it does not exist.
        InvalidParameter: it lies elsewhere.
    """
    top = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(top, subpath, os.O_PATH, resolve=_BENEATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise InvalidParameter(
                f"path concatenation escapes the base directory, base: {base}, subpath: {subpath}"
            ) from None
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise NotFound(
                f"cannot access path {base / subpath}: {os.strerror(error.errno).lower()}"
            ) from None
        raise
    finally:
        os.close(top)
