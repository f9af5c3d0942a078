"""The whole root file system of a container, mounted while it is read.

A running container has its root mounted, but it may end at any moment; the root of a stopped
one is not mounted, nor is one that another program has unmounted.  So the reader gets a mount of
its own: a bind mount of the live root, or a read-only overlay.  It lies below the exec root, from
where an unmount propagates to the mount namespaces of runtimes that were started meanwhile; mounts
that a crash leaves are unmounted when the engine starts.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from palan.api.errors import Conflict, InternalError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.root_filesystem import image_layers
from palan.host.mounts import bind, is_mount_point, make_nodev, unmount, unmount_below
from palan.host.overlay import mount_overlay


__all__ = ["merged_root", "sweep_merged"]


@contextlib.asynccontextmanager
async def merged_root(context: ContainerContext, container: Container) -> AsyncIterator[Path]:
    """Yield a directory that shows the container's root file system, without its volumes.

    Of a running container it is the live root.

    Raises:
        Conflict: the container is being removed.
        InternalError: the kernel refuses.
    """
    root = context.paths.merged / f"{container.id}-{secrets.token_hex(4)}"
    async with container.lock:
        if container.removed or container.record.status in ("removing", "dead"):
            raise Conflict(f"container {container.id} is marked for removal")
        live = context.paths.bundle(container.id) / "rootfs" if container.running else None
        upper = context.paths.container(container.id) / "diff"
        layers = [upper, *image_layers(context, container)]
        try:
            await asyncio.to_thread(_mount, root, live, layers)
        except OSError as error:
            raise InternalError(f"unable to read container {container.id}: {error}") from error
    try:
        yield root
    finally:
        await asyncio.shield(asyncio.to_thread(_unmount, root))


def _mount(root: Path, live: Path | None, layers: Sequence[Path]) -> None:
    root.mkdir(mode=0o700)
    try:
        # Another program may have unmounted the live root, of which the mount point is left.
        if live is not None and is_mount_point(live):
            bind(live, root, readonly=True, recursive=False)
        else:
            mount_overlay(layers, None, None, root)
        # The container may put a device in the place of a file that is about to be opened.
        make_nodev(root)
    except BaseException:
        unmount(root, lazy=True)
        root.rmdir()
        raise


def _unmount(root: Path) -> None:
    unmount(root, lazy=True)
    root.rmdir()


def sweep_merged(roots: Path) -> None:
    """Unmount the roots that an engine was reading when it was killed."""
    unmount_below(roots.resolve())
    for root in roots.iterdir():
        root.rmdir()
