"""Filling empty volumes of a new container with the image's files at their destinations."""

import asyncio
import errno
import os
import secrets
import subprocess
from pathlib import Path

from palan.api.errors import InternalError, NotFound
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.mount_sources import hold_volumes, open_part, release_volumes
from palan.engine.containers.record import MountRecord
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount
from palan.host.overlay import mount_overlay
from palan.host.rootfs import open_directory
from palan.host.treecopy import TreeCopy


__all__ = ["fill_volumes", "is_empty"]


def is_empty(directory: Path) -> bool:
    """Whether a directory is empty; blocking."""
    with os.scandir(directory) as entries:  # which reads no more than the first entry
        return next(entries, None) is None


async def fill_volumes(
    context: ContainerContext, container_id: str, layers: list[str], mounts: list[MountRecord]
) -> None:
    """Copy the image's files at the destinations of volumes into those that are empty.

    Raises:
        InvalidParameter, InternalError: a volume can't be mounted or written.
    """
    rootfs = context.paths.tmp / f"fill-{container_id}"
    await asyncio.to_thread(_mount_layers, layers, rootfs)
    try:
        wanted = await asyncio.to_thread(_with_content, rootfs, mounts)
        await hold_volumes(context, wanted, container_id)
        try:
            await asyncio.to_thread(_fill, context, container_id, rootfs, wanted)
        finally:
            await release_volumes(context, wanted, container_id)
    finally:
        await asyncio.to_thread(_unmount_layers, rootfs)


def _mount_layers(layers: list[str], rootfs: Path) -> None:
    rootfs.mkdir()
    mount_overlay([Path(layer) for layer in reversed(layers)], None, None, rootfs)


def _unmount_layers(rootfs: Path) -> None:
    unmount(rootfs, lazy=True)
    rootfs.rmdir()


def _with_content(rootfs: Path, mounts: list[MountRecord]) -> list[MountRecord]:
    """Return the mounts at whose destination the image has a directory."""
    found = []
    for mount in mounts:
        with open_directory(rootfs, mount.destination) as source:
            if source is not None:
                found.append(mount)
    return found


def _fill(
    context: ContainerContext, container_id: str, rootfs: Path, mounts: list[MountRecord]
) -> None:
    for mount in mounts:
        with open_directory(rootfs, mount.destination) as source:
            if source is not None:
                _copy_up(context, container_id, source, mount)


def _copy_up(context: ContainerContext, container_id: str, source: int, mount: MountRecord) -> None:
    target = Path(mount.source)
    if mount.subpath:
        try:
            part = open_part(target, mount.subpath)
        except NotFound:
            return  # the start of the container reports it
        try:
            _fill_in_place(source, Path(f"/proc/self/fd/{part}"), mount.volume)
        finally:
            os.close(part)
        return
    if not is_empty(target):
        return
    if target != context.volumes.path(mount.volume) or context.volumes.is_used(
        mount.volume, besides=container_id
    ):
        _fill_in_place(source, target, mount.volume)
        return
    # By a rename: a volume that a crash leaves half filled would not be filled again.
    draft = context.paths.tmp / f"filled-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o755)
    try:
        _copy_into_draft(source, draft, mount.volume)
        draft.rename(target)
    except OSError as error:
        # Another container may have filled it meanwhile; or it is a file system of its own.
        if error.errno in (errno.EXDEV, errno.EBUSY):
            _fill_in_place(source, target, mount.volume)
        elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        remove_tree(draft)


def _copy_into_draft(source: int, draft: Path, volume: str) -> None:
    """Copy a tree into a directory that no container can reach; the program is fast."""
    # Through the descriptor: a link in the image can't lead anywhere else.
    result = subprocess.run(
        ["cp", "-a", "--", f"/proc/self/fd/{source}/.", draft],
        check=False, capture_output=True, pass_fds=(source,),
    )  # fmt: skip
    if result.returncode:
        raise _failure(volume, result.stderr.decode(errors="replace").strip())


def _fill_in_place(source: int, target: Path, volume: str) -> None:
    """Copy a tree into a directory, if that is empty, while containers may change it.

    They could put links there at any moment, which a program that gets paths would follow.
    """
    try:
        directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:  # a subpath may be a file
        return
    try:
        if not os.listdir(directory):  # noqa: PTH208 - of a descriptor
            TreeCopy(source, directory, None, xattrs=True).copy_contents("", "", itself=True)
    except OSError as error:
        raise _failure(volume, str(error)) from error
    finally:
        os.close(directory)


def _failure(volume: str, reason: str) -> InternalError:
    return InternalError(f"failed to copy image content to volume {volume}: {reason}")
