"""The view of a container's files from outside: its root with its volumes and binds."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from palan.api.errors import Conflict, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.mount_sources import (
    hold_volumes,
    host_source,
    make_bind_sources,
    mount_parts,
    publish_mounts,
    publish_unmounts,
    release_volumes,
)
from palan.engine.containers.record import MountRecord
from palan.engine.containers.root_filesystem import image_layers
from palan.engine.containers.spec import network_owner
from palan.host.mounts import is_mount_point
from palan.host.rootview import Bind, RootView


__all__ = ["root_view"]


@contextlib.asynccontextmanager
async def root_view(context: ContainerContext, container: Container) -> AsyncIterator[RootView]:
    """Yield the view of a container's files, running or not, with its volumes mounted.

    If the container does not run (:attr:`RootView.mounted` is None), the caller holds its lock
    as long as the view is used: the container must not start meanwhile, as a writable layer
    can't be mounted twice.

    Raises:
        PalanError: the container is removed, or a volume or a bind's source can't be mounted.
        OSError: the layers can't be found.
    """
    if container.removed:
        raise NotFound(f"No such container: {container.id}")
    if container.record.status in ("removing", "dead"):
        raise Conflict(f"container {container.id} is marked for removal")
    mounts = container.record.mounts
    volumes = list(dict.fromkeys(mount.volume for mount in mounts if mount.volume))
    rootfs = context.paths.bundle(container.id) / "rootfs"
    mounted = await asyncio.to_thread(is_mount_point, rootfs)
    holder = secrets.token_hex(32)
    if not mounted:
        await hold_volumes(context, mounts, holder)
    try:
        publish_mounts(context, container)
        try:
            yield await asyncio.to_thread(_view, context, container, rootfs if mounted else None)
        finally:
            publish_unmounts(context, container, volumes)
    finally:
        if not mounted:
            await release_volumes(context, mounts, holder)


def _view(context: ContainerContext, container: Container, rootfs: Path | None) -> RootView:
    make_bind_sources(container.record.mounts)
    record = container.record
    place = context.paths.view
    directory = place if rootfs is None else context.paths.bundle(container.id)
    binds = [
        _bind(mount, host_source(directory, number, mount))
        for number, mount in enumerate(record.mounts)
        if mount.kind != "tmpfs"
    ]
    taken = {bind.destination for bind in binds}
    files = context.paths.container(network_owner(context, container).id)
    binds += [
        Bind(str(files / name), f"/etc/{name}", read_only=record.host_config.readonly_rootfs)
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken and (files / name).exists()
    ]
    binds.sort(key=lambda bind: bind.destination.count("/"))
    own = context.paths.container(container.id)
    return RootView(
        place,
        prepare=partial(mount_parts, directory, record.mounts if rootfs is None else ()),
        mounted=rootfs,
        lowers=image_layers(context, container),
        upper=own / "diff",
        work=own / "work",
        binds=binds,
        read_only=record.host_config.readonly_rootfs,
    )


def _bind(mount: MountRecord, source: str) -> Bind:
    return Bind(
        source,
        mount.destination,
        recursive=mount.recursive,
        read_only=mount.read_only,
        read_only_recursive=mount.read_only_recursive,
    )
