"""The files of a container from outside: its root with its volumes and binds in place."""

from pathlib import Path
from typing import TYPE_CHECKING

from palan.engine.containers.container import Container
from palan.engine.containers.record import MountRecord
from palan.engine.containers.spec import network_owner
from palan.engine.containers.start import image_layers, make_sources
from palan.host.mounts import is_mount_point
from palan.host.rootview import Bind, RootView


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["root_view"]


def root_view(engine: "Engine", container: Container) -> RootView:
    """How to see the files of a container, running or not.  Blocking.

    Of one that does not run the caller holds the lock as long as the view is used: it must
    not be started meanwhile, as two mounts of one writable layer do not get along.

    Raises:
        InvalidParameter: the source of a bind can't be made.
        OSError: the layers are not there.
    """
    make_sources(container)
    record = container.record
    binds = [_bind(m) for m in record.mounts if m.kind != "tmpfs"]
    taken = {bind.destination for bind in binds}
    files = engine.paths.container(network_owner(engine, container).id)
    binds += [
        Bind(str(files / name), f"/etc/{name}", read_only=record.host_config.readonly_rootfs)
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken and (files / name).exists()
    ]
    binds.sort(key=lambda bind: bind.destination.count("/"))
    rootfs = engine.paths.bundle(container.id) / "rootfs"
    own = engine.paths.container(container.id)
    return RootView(
        engine.paths.view,
        mounted=rootfs if is_mount_point(rootfs) else None,
        lowers=image_layers(engine, container),
        upper=own / "diff",
        work=own / "work",
        binds=binds,
        read_only=record.host_config.readonly_rootfs,
    )


def _bind(mount: MountRecord) -> Bind:
    return Bind(
        str(Path(mount.source)),
        mount.destination,
        recursive=mount.recursive,
        read_only=mount.read_only,
        read_only_recursive=mount.read_only_recursive,
    )
