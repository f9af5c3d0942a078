"""The root file system of a container that runs: its layers, and the mount points in it."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from palan.api.errors import InternalError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.mount_sources import make_bind_sources, mount_parts, unmount_parts
from palan.engine.containers.proc_mounts import check_proc_mounts
from palan.engine.containers.record import MountRecord
from palan.host.filesystem import remove_tree
from palan.host.mounts import mount, unmount
from palan.host.overlay import mount_overlay, plain_options
from palan.host.rootfs import follow_links
from palan.host.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID
from palan.host.treecopy import make_directories


__all__ = ["image_layers", "mount_root", "unmount_root"]

SHM_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


def image_layers(context: ContainerContext, container: Container) -> list[Path]:
    """Return the layers below the container's own files, the topmost first."""
    return [*(Path(layer) for layer in reversed(container.record.layers)), context.paths.stubs]


def mount_root(context: ContainerContext, container: Container) -> None:
    """Make the bundle, and mount the root and the /dev/shm that others may share in it; blocking.

    Raises:
        InternalError: a layer of the image is missing.
        PalanError: the source of a mount can't be made or found, or its destination is in /proc; in
            dockerd's words.
        OSError: the kernel refuses.
    """
    directory = context.paths.container(container.id)
    bundle = context.paths.bundle(container.id)
    rootfs = bundle / "rootfs"
    # Closed to others: the spec in it has the environment of the container.
    bundle.mkdir(mode=0o700, exist_ok=True)
    for part in (rootfs, bundle / "execs"):
        part.mkdir(mode=0o700, exist_ok=True)
    layers = image_layers(context, container)
    # What is changed must lie in the upper directory whole, or it could not be committed.
    try:
        mount_overlay(
            layers, directory / "diff", directory / "work", rootfs, options=plain_options()
        )
    except FileNotFoundError:
        missing = [layer for layer in layers if not layer.is_dir()]
        if not missing:
            raise
        raise InternalError(
            f"image {container.record.image} is damaged: {missing[0]} is missing;"
            " pull or load the image again"
        ) from None
    mounts = container.record.mounts
    make_bind_sources(mounts)
    mount_parts(bundle, mounts)
    if mounts:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            check_proc_mounts(root, mounts)
            _make_mount_points(root, mounts)
        finally:
            os.close(root)
    host_config = container.record.host_config
    if host_config.ipc_mode == "shareable":
        shm = bundle / "shm"
        shm.mkdir(exist_ok=True)
        mount("shm", shm, "tmpfs", SHM_FLAGS, f"mode=1777,size={host_config.shm_size}")


def unmount_root(bundle: Path) -> None:
    """Unmount what :func:`mount_root` mounted, and remove the bundle; blocking.

    Harmless where nothing is mounted.
    """
    unmount_parts(bundle)
    for mounted in ("rootfs", "shm"):
        unmount(bundle / mounted, lazy=True)
    remove_tree(bundle)


def _make_mount_points(root: int, mounts: Sequence[MountRecord]) -> None:
    """Make the directories that are mounted on, with usual modes: the runtime's are sticky.

    An image that is committed of the container contains them.
    """
    places = [f"{mount.destination}/" for mount in mounts]
    wanted = [
        mount.destination
        for mount in mounts
        if _is_directory(mount)
        and not f"{mount.destination}/".startswith(("/dev/", "/proc/", "/sys/"))
        and not any(mount.destination.startswith(place) for place in places)
    ]
    for destination in wanted:
        # The runtime complains about what is in the way.
        with contextlib.suppress(OSError):
            make_directories(root, follow_links(root, destination).lstrip("/"))


def _is_directory(mount: MountRecord) -> bool:
    """Whether what is mounted surely is a directory."""
    if mount.kind == "bind":
        return os.path.isdir(mount.source)  # noqa: PTH112 - a string is at hand
    # Not a tmpfs: runc gives it the mode of an existing directory, else 1777.
    return mount.kind == "volume" and not mount.subpath
