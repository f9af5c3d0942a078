"""What a container's runtime spec follows from, gathered at start.

:mod:`palan.engine.oci` makes the spec and is pure; here the machine is asked: who the
user is in *this* root file system, which devices there are, whose namespaces are joined.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palan.api import UNSET
from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.record import ContainerRecord, MountRecord, SandboxRecord
from palan.engine.containers.users import ResolvedUser, resolve_user
from palan.engine.oci.devices import DeviceNode
from palan.engine.oci.mounts import MountPlan, bind_mount, tmpfs_mount
from palan.engine.oci.process import User
from palan.engine.oci.spec import Namespaces, SpecInput, runtime_spec
from palan.host.rootfs import read_text


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["container_spec", "find_user", "hostname", "network_owner", "shares_ipc"]

SHM = "/dev/shm"  # noqa: S108 - of the container


def find_user(rootfs: Path, name: str, group_add: list[str] | None) -> ResolvedUser:
    """The ids of a user as the root file system's own passwd and group say."""
    return resolve_user(
        name,
        read_text(rootfs, "etc/passwd"),
        read_text(rootfs, "etc/group"),
        group_add or (),
    )


def network_owner(engine: "Engine", container: Container) -> Container:
    """The container whose network this one has, with host name and files: mostly its own."""
    seen = set()
    while container.id not in seen:
        seen.add(container.id)
        mode = container.record.host_config.network_mode
        if not mode.startswith("container:"):
            break
        other = engine.containers.registry.find(mode.removeprefix("container:"))
        if other is None:
            break  # the start will say so
        container = other
    return container


def hostname(container: Container) -> str:
    """The host name that the container sees."""
    mode = container.record.host_config
    if mode.uts_mode == "host" or mode.network_mode == "host":
        return container.record.config.hostname or os.uname().nodename
    return container.record.config.hostname or container.id[:12]


def container_spec(
    engine: "Engine", container: Container, sandbox: SandboxRecord | None, rootfs: Path
) -> dict[str, Any]:
    """The runtime spec of a container that is about to start.

    Raises:
        InvalidParameter: the user or a device does not exist.
        Conflict: a container whose namespace is to be joined does not run.
    """
    record = container.record
    host_config = record.host_config
    user = find_user(rootfs, record.config.user, host_config.group_add)
    privileged = host_config.privileged
    spec = runtime_spec(
        SpecInput(
            config=record.config,
            host_config=host_config,
            id=record.id,
            hostname=hostname(network_owner(engine, container)),
            rootfs=str(rootfs),
            args=[record.path, *record.args],
            user=User(user.uid, user.gid, user.groups),
            home=user.home,
            mounts=_mounts(engine, container),
            namespaces=_namespaces(engine, record, sandbox),
            cgroups_path=cgroup_path(engine, record),
            host=engine.runtimes.host,
            devices=[
                _device(d.path_on_host, d.path_in_container, d.cgroup_permissions)
                for d in host_config.devices or []
            ],
            host_devices=_all_devices() if privileged else (),
            init_path=_init_path(engine, record),
            default_ulimits=engine.runtimes.default_ulimits,
            default_seccomp=engine.runtimes.default_seccomp,
            no_new_privileges=engine.config.no_new_privileges,
        )
    )
    engine.runtimes.compile_filter(record.runtime, spec)
    return spec


def cgroup_path(engine: "Engine", record: ContainerRecord) -> str:
    """The container's cgroup, below the root of the hierarchies."""
    parent = record.host_config.cgroup_parent or engine.config.cgroup_root
    return f"/{parent.strip('/')}/{record.id}"


def _init_path(engine: "Engine", record: ContainerRecord) -> str:
    wanted = record.host_config.init
    if not (engine.config.init if wanted is UNSET else wanted):
        return ""
    if not engine.runtimes.init_path:
        raise InvalidParameter(
            "no init program was found on this machine: install tini or catatonit,"
            " or name one with --init-path"
        )
    return engine.runtimes.init_path


# ---- namespaces -----------------------------------------------------------------


def _namespaces(
    engine: "Engine", record: ContainerRecord, sandbox: SandboxRecord | None
) -> Namespaces:
    host = record.host_config

    def of(mode: str, kind: str, what: str) -> str | None:
        if mode == "host":
            return None
        if mode.startswith("container:"):
            return _joined(engine, mode.removeprefix("container:"), kind, what)
        return ""

    network = of(host.network_mode, "net", "network")
    return Namespaces(
        network=sandbox.path if sandbox is not None else network,
        pid=of(host.pid_mode, "pid", "PID"),
        ipc=of(host.ipc_mode, "ipc", "IPC"),
        uts=of(host.uts_mode, "uts", "UTS"),
        cgroup=None if host.cgroupns_mode == "host" else "",
    )


def _joined(engine: "Engine", reference: str, kind: str, what: str) -> str:
    try:
        other = engine.containers.registry.get(reference)
    except NotFound as error:
        raise NotFound(f"joining {what} namespace of container: {error.message}") from None
    process = other.record.process
    if not other.running or process is None:
        raise Conflict(f"cannot join {what} namespace of a non running container: {other.id}")
    if kind == "ipc" and not shares_ipc(other.record):
        raise Conflict(
            f"cannot join IPC of container {reference}: non-shareable IPC"
            " (hint: use IpcMode:shareable for the donor container)"
        )
    return f"/proc/{process.pid}/ns/{kind}"


def shares_ipc(record: ContainerRecord) -> bool:
    """Whether others may join this container's IPC namespace and its /dev/shm."""
    return record.host_config.ipc_mode in ("shareable", "host")


# ---- mounts ---------------------------------------------------------------------


def _mounts(engine: "Engine", container: Container) -> list[MountPlan]:
    record = container.record
    host = record.host_config
    plans = [_plan(mount) for mount in record.mounts]
    taken = {plan.destination for plan in plans}
    directory = engine.paths.container(network_owner(engine, container).id)
    plans += [
        bind_mount(
            str(directory / name), f"/etc/{name}", propagation="rprivate",
            read_only=host.readonly_rootfs,
        )
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken
    ]  # fmt: skip
    if shm := _shm(engine, record):
        plans.append(bind_mount(shm, SHM, propagation="rprivate"))
    return plans


def _plan(mount: MountRecord) -> MountPlan:
    if mount.kind == "tmpfs":
        return tmpfs_mount(mount.destination, mount.tmpfs_options)
    return bind_mount(
        mount.source,
        mount.destination,
        read_only=mount.read_only,
        propagation=mount.propagation or "rprivate",
        recursive=mount.recursive,
        recursive_read_only=mount.read_only_recursive == "required",
    )


def _shm(engine: "Engine", record: ContainerRecord) -> str:
    """The /dev/shm that several containers share: the donor's, in its bundle."""
    mode = record.host_config.ipc_mode
    if mode == "shareable":
        return str(engine.paths.bundle(record.id) / "shm")
    if mode.startswith("container:"):
        donor = engine.containers.registry.get(mode.removeprefix("container:"))
        if donor.record.host_config.ipc_mode == "host":
            return SHM
        return str(engine.paths.bundle(donor.id) / "shm")
    return ""


# ---- devices --------------------------------------------------------------------


def _device(host_path: str, path: str, permissions: str) -> DeviceNode:
    try:
        info = os.stat(host_path)  # noqa: PTH116 - one call
    except OSError as error:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{host_path}":'
            f" {(error.strerror or '').lower()}"
        ) from None
    return _node(path or host_path, info, permissions or "rwm", host_path)


def _node(path: str, info: os.stat_result, permissions: str, host_path: str) -> DeviceNode:
    if stat.S_ISCHR(info.st_mode):
        kind = "c"
    elif stat.S_ISBLK(info.st_mode):
        kind = "b"
    else:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{host_path}":'
            " not a device node"
        )
    return DeviceNode(
        path=path,
        kind=kind,
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        permissions=permissions,
        host_path=host_path,
    )


_OWN_IN_DEV = {"pts", "shm", "fd", "mqueue", "lxc", "lxd-fuse", ".lxc", ".lxd-mounts", ".udev"}


def _all_devices() -> list[DeviceNode]:
    """All device nodes of the host's /dev, for a privileged container."""
    found = []
    for directory, names, files in os.walk("/dev"):
        if directory == "/dev":
            names[:] = [n for n in names if n not in _OWN_IN_DEV]
        for name in files:
            path = os.path.join(directory, name)  # noqa: PTH118 - thousands of times
            if name == "console":
                continue
            try:
                info = os.lstat(path)
                found.append(_node(path, info, "rwm", path))
            except (OSError, InvalidParameter):
                continue  # a link, a socket, or gone meanwhile
    return found
