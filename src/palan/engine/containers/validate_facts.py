"""The facts about machine and engine that validation depends on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from palan.engine.logdrivers.drivers import LOG_DRIVERS
from palan.engine.oci.host import Host
from palan.engine.oci.rlimits import Limit
from palan.engine.oci.seccomp import BUILTIN
from palan.host.cgroups import CgroupFeatures


__all__ = ["ALL_FEATURES", "CreateFacts"]

ALL_FEATURES: Final = CgroupFeatures(**{entry.name: True for entry in fields(CgroupFeatures)})


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFacts:
    """Facts about the machine, and the engine's configuration.

    Attributes:
        host: the facts that runtime specs depend on as well.
        cpus: the number of processors.
        cpuset_cpus: numbers of the processors that containers may use.
        cpuset_mems: numbers of the memory nodes that they may use.
        features: what cgroups can limit; other limits are discarded with a warning.
        runtimes: names of the OCI runtimes.
        log_drivers: names of the log drivers, and the options of each.
        default_log_driver: the log driver of containers that name none.
        path_exists: returns whether a path exists on the host.
        init_path: the init program for containers; empty if none is installed, which is an
            error for containers that ask for it.
        default_init: whether containers have the init program by default.
        default_ulimits: the engine's default ulimits, by name.
        default_seccomp: the engine's default seccomp profile.
        no_new_privileges: the engine's default.
        systemd_cgroups: whether cgroups are made by systemd.
        realtime: whether the engine has real-time processor time for its containers.
        ip_forwarding: whether the kernel forwards IPv4.
        cgroup_namespaces: whether the kernel has cgroup namespaces.
        selinux: whether SELinux is in force.
        recursive_read_only: whether kernel and runtime can make mounts recursively read-only.
        subnets_of: returns the subnets of a network by name, None for an unknown network.
    """

    host: Host
    cpus: int
    cpuset_cpus: frozenset[int]
    cpuset_mems: frozenset[int] = frozenset({0})
    features: CgroupFeatures = ALL_FEATURES
    runtimes: frozenset[str] = frozenset({"runc"})
    log_drivers: Mapping[str, Iterable[str]] = field(default_factory=lambda: LOG_DRIVERS)
    default_log_driver: str = "json-file"
    path_exists: Callable[[str], bool] = lambda _path: True
    init_path: str = ""
    default_init: bool = False
    default_ulimits: Mapping[str, Limit] = field(default_factory=dict)
    default_seccomp: str = BUILTIN
    no_new_privileges: bool = False
    systemd_cgroups: bool = False
    realtime: bool = True
    ip_forwarding: bool = True
    cgroup_namespaces: bool = True
    selinux: bool = False
    recursive_read_only: bool = True
    subnets_of: Callable[[str], Sequence[IPv4Network | IPv6Network] | None] = lambda _name: None
