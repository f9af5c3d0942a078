"""A container's whole runtime spec (OCI 1.0.2), built from its configuration.

No I/O: all that must be looked up (users, devices, paths of namespaces, facts about the
machine) is in :class:`SpecInput`.  What the machine does not support is left out here; the
client got a warning about it at create.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from palan.api import Unset
from palan.api.containers import ContainerConfig, HostConfig
from palan.engine.oci.capabilities import granted, wanted
from palan.engine.oci.devices import DeviceNode, device_nodes, device_rules
from palan.engine.oci.environment import container_environment
from palan.engine.oci.host import Host
from palan.engine.oci.mounts import (
    DEFAULT_MASKED_PATHS,
    DEFAULT_READONLY_PATHS,
    INIT_PATH,
    MountPlan,
    oci_mounts,
    rootfs_propagation,
)
from palan.engine.oci.process import User, oci_process
from palan.engine.oci.resources import BlockDevices, linux_resources
from palan.engine.oci.rlimits import Limit, merge_ulimits, oci_rlimits
from palan.engine.oci.seccomp import BUILTIN, seccomp_profile
from palan.engine.oci.security_options import SecurityOptions, parse_security_options


__all__ = ["OCI_VERSION", "Namespaces", "SpecInput", "runtime_spec"]

OCI_VERSION: Final = "1.0.2"

_NET_DEFAULTS: Final = {
    # All users may ping and use low ports, as the namespace is the container's own.
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
}


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The source of each namespace: ``""`` for a new one, a path to join, None for the host's.

    The mount namespace is always a new one.
    """

    network: str | None = ""
    pid: str | None = ""
    ipc: str | None = ""
    uts: str | None = ""
    cgroup: str | None = ""

    def spec(self) -> list[dict[str, str]]:
        """Return ``linux.namespaces`` of a runtime spec."""
        entries = [{"type": "mount"}]
        for kind in ("network", "uts", "pid", "ipc", "cgroup"):
            path: str | None = getattr(self, kind)
            if path is not None:
                entries.append({"type": kind, "path": path} if path else {"type": kind})
        return entries


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecInput:
    """All facts from which a runtime spec is built.

    Attributes:
        config: the container's configuration, merged with the image's.
        host_config: the host configuration, validated and with its defaults.
        id: the container's id, 64 hex digits.
        hostname: the name in its UTS namespace.
        rootfs: the absolute path of its root directory.
        args: the whole command line, entrypoint first.
        user: the ids of its user and groups.
        home: the user's home directory, for ``HOME``; empty for the runtime's default.
        mounts: the mounts besides the defaults.
        namespaces: the sources of its namespaces.
        cgroups_path: below the root of the hierarchies, or ``slice:prefix:name`` for systemd.
        host: facts about the machine.
        devices: the devices of ``host_config.devices``, resolved.
        host_devices: all devices of the host; only for a privileged container.
        block_devices: numbers of the block devices that have limits.
        init_path: the host's init program, if the container shall have one.
        linked_env: environment variables of links.
        default_ulimits: the engine's default limits by name.
        default_seccomp: the engine's default: ``builtin``, ``unconfined`` or a profile's JSON.
        default_apparmor: the default AppArmor profile; empty for no profile.
        no_new_privileges: the engine's default.
    """

    config: ContainerConfig
    host_config: HostConfig
    id: str
    hostname: str
    rootfs: str
    args: Sequence[str]
    host: Host
    user: User = field(default_factory=User)
    home: str = ""
    mounts: Sequence[MountPlan] = ()
    namespaces: Namespaces = field(default_factory=Namespaces)
    cgroups_path: str = ""
    devices: Sequence[DeviceNode] = ()
    host_devices: Sequence[DeviceNode] = ()
    block_devices: BlockDevices = field(default_factory=dict)
    init_path: str = ""
    linked_env: Sequence[str] = ()
    default_ulimits: Mapping[str, Limit] = field(default_factory=dict)
    default_seccomp: str = BUILTIN
    default_apparmor: str = ""
    no_new_privileges: bool = False


def runtime_spec(container: SpecInput) -> dict[str, Any]:
    """Return the runtime spec, ready to be written as ``config.json``.

    Raises:
        InvalidParameter: an option is invalid; validation at create finds all of these.
    """
    host_config = container.host_config
    options = parse_security_options(
        host_config.security_opt, no_new_privileges=container.no_new_privileges
    )
    asked = wanted(host_config.cap_add, host_config.cap_drop, privileged=host_config.privileged)
    capabilities = granted(asked, container.host.bounding)
    init_path = container.init_path if container.namespaces.pid == "" else ""
    spec: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(container, options, capabilities, init=bool(init_path)),
        "root": {"path": container.rootfs, "readonly": host_config.readonly_rootfs},
        "mounts": oci_mounts(
            container.mounts,
            shm_size=host_config.shm_size,
            ipc_mode=host_config.ipc_mode,
            privileged=host_config.privileged,
            writable_cgroups=options.writable_cgroups,
            init_path=init_path,
        ),
        "linux": _linux(container, options, capabilities),
    }
    if container.namespaces.uts is not None:
        spec["hostname"] = container.hostname
    if not isinstance(host_config.annotations, Unset) and host_config.annotations:
        spec["annotations"] = dict(host_config.annotations)
    return spec


def _process(
    container: SpecInput, options: SecurityOptions, capabilities: Sequence[str], *, init: bool
) -> dict[str, Any]:
    config, host_config = container.config, container.host_config
    limits = container.host.limits
    ulimits = merge_ulimits(host_config.ulimits, container.default_ulimits)
    return oci_process(
        args=[INIT_PATH, "--", *container.args] if init else container.args,
        env=container_environment(
            config.env,
            hostname=container.hostname,
            tty=config.tty,
            home=container.home,
            linked=container.linked_env,
        ),
        cwd=config.working_dir,
        user=container.user,
        terminal=config.tty,
        console_size=host_config.console_size,
        capabilities=capabilities,
        no_new_privileges=options.no_new_privileges,
        apparmor=_apparmor(container, options),
        rlimits=oci_rlimits(ulimits, limits),
        oom_score_adj=max(host_config.oom_score_adj, limits.oom_score_floor),
    )


def _apparmor(container: SpecInput, options: SecurityOptions) -> str:
    if not container.host.apparmor:
        return ""
    if options.apparmor:
        return options.apparmor
    return "unconfined" if container.host_config.privileged else container.default_apparmor


def _linux(
    container: SpecInput, options: SecurityOptions, capabilities: Sequence[str]
) -> dict[str, Any]:
    host_config, host = container.host_config, container.host
    privileged = host_config.privileged
    linux: dict[str, Any] = {
        "namespaces": container.namespaces.spec(),
        "devices": device_nodes(container.devices, container.host_devices, privileged=privileged),
        "resources": linux_resources(
            host_config,
            unified=host.unified,
            devices=device_rules(
                container.devices, host_config.device_cgroup_rules, privileged=privileged
            ),
            block_devices=container.block_devices,
        ),
        "sysctl": _sysctls(container),
    }
    if container.cgroups_path:
        linux["cgroupsPath"] = container.cgroups_path
    closed = not privileged and not options.unconfined_paths
    for name, given, default in (
        ("maskedPaths", host_config.masked_paths, DEFAULT_MASKED_PATHS),
        ("readonlyPaths", host_config.readonly_paths, DEFAULT_READONLY_PATHS),
    ):
        paths = list(given) if given is not None else list(default) if closed else []
        if paths:
            linux[name] = paths
    propagation = rootfs_propagation(container.mounts)
    if propagation:
        linux["rootfsPropagation"] = propagation
    seccomp = seccomp_profile(
        options.seccomp,
        default=container.default_seccomp,
        privileged=privileged,
        capabilities=capabilities,
        architecture=host.architecture,
        kernel=host.kernel,
        enabled=host.seccomp,
    )
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return linux


def _sysctls(container: SpecInput) -> dict[str, str]:
    sysctls: dict[str, str] = {}
    mode = container.host_config.network_mode
    if container.namespaces.network is not None and not mode.startswith("container:"):
        sysctls |= _NET_DEFAULTS
    if container.config.domainname and container.namespaces.uts == "":
        sysctls["kernel.domainname"] = container.config.domainname
    given = container.host_config.sysctls
    if not isinstance(given, Unset):
        sysctls |= given
    return sysctls
