"""The input of a container's runtime spec, gathered at start.

:mod:`palan.engine.oci` makes the spec and does no I/O; this module looks up the user in the
container's root file system, the host's devices and the namespaces that are joined.
"""

from pathlib import Path
from typing import Any

import msgspec

from palan.api import UNSET
from palan.api.containers import ContainerConfig
from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.device_requests import check_device_requests, inject_devices
from palan.engine.containers.devices import all_devices, asked_devices, block_devices
from palan.engine.containers.links import link_environment
from palan.engine.containers.mount_sources import host_source
from palan.engine.containers.record import ContainerRecord, MountRecord
from palan.engine.containers.users import ResolvedUser, resolve_user
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.oci.mounts import SHM, MountPlan, bind_mount, tmpfs_mount
from palan.engine.oci.process import User
from palan.engine.oci.spec import Namespaces, SpecInput, runtime_spec
from palan.host.mounts import mount_flags
from palan.host.rootfs import read_text


__all__ = ["check_joined", "container_spec", "find_user", "network_owner"]


def find_user(rootfs: Path, name: str, group_add: list[str] | None) -> ResolvedUser:
    """Return the ids of a user by the passwd and group files of a root file system."""
    return resolve_user(
        name,
        read_text(rootfs, "etc/passwd"),
        read_text(rootfs, "etc/group"),
        group_add or (),
    )


def network_owner(context: ContainerContext, container: Container) -> Container:
    """Return the container whose network, host name and files this one uses: mostly itself."""
    seen = set()
    while container.id not in seen:
        seen.add(container.id)
        mode = container.record.host_config.network_mode
        if not mode.startswith("container:"):
            break
        other = context.registry.find(mode.removeprefix("container:"))
        if other is None:
            break  # the start reports it
        container = other
    return container


def container_spec(
    context: ContainerContext, container: Container, sandbox: SandboxRecord | None, rootfs: Path
) -> dict[str, Any]:
    """Return the runtime spec of a container that is about to start.

    Raises:
        InvalidParameter: the user or a device does not exist.
        Conflict: a container whose namespace is to be joined does not run.
    """
    record = container.record
    host_config = record.host_config
    user = find_user(rootfs, record.config.user, host_config.group_add)
    privileged = host_config.privileged
    namespaces = _namespaces(context, container, sandbox)
    spec = runtime_spec(
        SpecInput(
            config=_with_links(context, container),
            host_config=host_config,
            id=record.id,
            hostname=network_owner(context, container).record.config.hostname,
            rootfs=str(rootfs),
            args=[record.path, *record.args],
            user=User(user.uid, user.gid, user.groups),
            home=user.home,
            mounts=_mounts(context, container),
            namespaces=namespaces,
            cgroups_path=cgroup_path(context, record),
            host=context.machine.host,
            devices=[n for device in host_config.devices or () for n in asked_devices(device)],
            host_devices=all_devices() if privileged else (),
            block_devices=block_devices(host_config),
            init_path=_init_path(context, record),
            default_ulimits=context.config.default_ulimits,
            default_seccomp=context.machine.default_seccomp,
            no_new_privileges=context.config.no_new_privileges,
        )
    )
    if host_config.device_requests:
        edits = check_device_requests(host_config.device_requests, context.machine.cdi)
        inject_devices(spec, edits)
    context.runtimes.compile_filter(record.runtime, spec)
    return spec


def _with_links(context: ContainerContext, container: Container) -> ContainerConfig:
    """Return the configuration, with the variables of links before its own."""
    config = container.record.config
    if not container.record.links:
        return config
    env = [*link_environment(context, container), *(config.env or ())]
    return msgspec.structs.replace(config, env=env)


def cgroup_path(context: ContainerContext, record: ContainerRecord) -> str:
    """Return the path of the container's cgroup, below the root of the hierarchies."""
    parent = record.host_config.cgroup_parent or context.config.cgroup_root
    return f"/{parent.strip('/')}/{record.id}"


def _init_path(context: ContainerContext, record: ContainerRecord) -> str:
    wanted = record.host_config.init
    if not (context.config.init if wanted is UNSET else wanted):
        return ""
    if not context.machine.init_path:
        raise InvalidParameter(
            "no init program was found on this machine: install tini or catatonit,"
            " or name one with --init-path"
        )
    return context.machine.init_path


# ---- namespaces -----------------------------------------------------------------


def _namespaces(
    context: ContainerContext, container: Container, sandbox: SandboxRecord | None
) -> Namespaces:
    host = container.record.host_config

    def of(mode: str, kind: str) -> str | None:
        if mode == "host":
            return None
        if mode.startswith("container:"):
            return _namespace_path(context, container, mode.removeprefix("container:"), kind)
        return ""

    network = of(host.network_mode, "net")
    cgroup_namespaces = context.machine.facts.cgroup_namespaces
    return Namespaces(
        network=sandbox.path if sandbox is not None and sandbox.path else network,
        pid=of(host.pid_mode, "pid"),
        ipc=of(host.ipc_mode, "ipc"),
        uts=of(host.uts_mode, "uts"),
        cgroup=None if host.cgroupns_mode == "host" or not cgroup_namespaces else "",
    )


def check_joined(context: ContainerContext, container: Container) -> None:
    """Check that the containers run whose namespaces a container joins.

    Raises:
        PalanError: one does not run; in dockerd's words.
    """
    _namespaces(context, container, None)


def _namespace_path(
    context: ContainerContext, container: Container, reference: str, kind: str
) -> str:
    """Return the path of another container's namespace.

    Raises:
        NotFound, InvalidParameter, Conflict: in dockerd's words, which differ by kind.
    """
    network, what = kind == "net", f"failed to join {kind.upper()} namespace: "
    other = context.registry.find(reference)
    if other is None:
        missing = f"No such container: {reference}"
        if network:
            raise NotFound(f"joining network namespace of container: {missing}")
        raise InvalidParameter(what + missing)
    if network and other is container:
        raise InvalidParameter("cannot join own network")
    process = other.record.process
    if not other.running or process is None:
        if network:
            raise Conflict(
                "cannot join network namespace of a non running container:"
                f" container {other.name} is {other.record.status}"
            )
        raise Conflict(f"{what}container {reference} is not running")
    if kind == "ipc" and not _shared_memory(context, other):
        raise InvalidParameter(
            f"{what}container {reference}: non-shareable IPC"
            " (hint: use IpcMode:shareable for the donor container)"
        )
    return f"/proc/{process.pid}/ns/{kind}"


# ---- mounts ---------------------------------------------------------------------


def _mounts(context: ContainerContext, container: Container) -> list[MountPlan]:
    record = container.record
    host = record.host_config
    recursive = context.runtimes.mounts_recursively_read_only(record.runtime)
    bundle = context.paths.bundle(container.id)
    plans = [
        _plan(mount, host_source(bundle, number, mount), recursive_read_only=recursive)
        for number, mount in enumerate(record.mounts)
    ]
    taken = {plan.destination for plan in plans}
    directory = context.paths.container(network_owner(context, container).id)
    plans += [
        bind_mount(
            str(directory / name), f"/etc/{name}", propagation="rprivate",
            read_only=host.readonly_rootfs,
        )
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken
    ]  # fmt: skip
    shm = _shared_memory(context, container)
    if shm and host.ipc_mode != "host" and SHM not in taken:
        plans.append(bind_mount(shm, SHM, propagation="rprivate"))
    return plans


def _plan(mount: MountRecord, source: str, *, recursive_read_only: bool) -> MountPlan:
    if mount.kind == "tmpfs":
        return tmpfs_mount(mount.destination, mount.tmpfs_options)
    wanted, propagation = mount.read_only_recursive, mount.propagation or "rprivate"
    if wanted == "required" and not recursive_read_only:
        raise InvalidParameter(
            "rro is not supported: it needs Linux 5.12 or later and a runtime that knows it"
        )
    return bind_mount(
        source,
        mount.destination,
        read_only=mount.read_only,
        # crun would make the bind mount recursive because of the propagation's "r".
        propagation=propagation if mount.recursive else propagation.removeprefix("r"),
        recursive=mount.recursive,
        recursive_read_only=(
            recursive_read_only
            and mount.recursive
            and wanted != "never"
            # crun refuses to look for mounts below a file.
            and not (mount.read_only and Path(source).is_file())
        ),
        flags=_flags(source),
    )


def _flags(source: str) -> tuple[str, ...]:
    try:
        return mount_flags(source)
    except OSError:
        return ()  # the runtime will report the problem


def _shared_memory(context: ContainerContext, container: Container) -> str:
    """Return the /dev/shm of an IPC namespace that others may join; empty for a private one."""
    mode = container.record.host_config.ipc_mode
    if mode == "host":
        return SHM
    if mode == "shareable":
        return str(context.paths.bundle(container.id) / "shm")
    if mode.startswith("container:"):
        donor = context.registry.find(mode.removeprefix("container:"))
        if donor is not None and donor is not container:
            return _shared_memory(context, donor)
    return ""
