"""Information about the engine: ``GET /info`` and ``GET /version``."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset, camel_case
from palan.api._cluster import SwarmInfo
from palan.api._swarm_types import GenericResource


__all__ = [
    "AddressPool",
    "Commit",
    "ComponentVersion",
    "ContainerdInfo",
    "ContainerdNamespaces",
    "DeviceInfo",
    "FirewallInfo",
    "IndexInfo",
    "NRIInfo",
    "PlatformName",
    "PluginsInfo",
    "RegistryServiceConfig",
    "Runtime",
    "SystemInfo",
    "SystemVersion",
]


class PlatformName(Message):
    """The product that contains the engine."""

    name: str = ""


class ComponentVersion(Message):
    """The version of one program that belongs to the engine."""

    name: str
    version: str
    details: dict[str, str] | Unset = UNSET


class SystemVersion(Message):
    """Versions of the engine, its API and the machine."""

    platform: PlatformName = field(default_factory=PlatformName)
    version: str = ""
    api_version: str = ""
    """The newest API version that the engine supports."""

    min_api_version: str = field(name="MinAPIVersion", default="")
    os: str = ""
    arch: str = ""
    """Go's name for the processor, such as ``amd64``."""

    components: list[ComponentVersion] | Unset = UNSET
    git_commit: str = ""
    go_version: str = ""
    kernel_version: str | Unset = UNSET
    experimental: bool | Unset = UNSET
    build_time: str | Unset = UNSET
    """RFC 3339."""


class PluginsInfo(Message):
    """The available drivers by kind."""

    volume: list[str] | None = None
    network: list[str] | None = None
    authorization: list[str] | None = None
    log: list[str] | None = None


class IndexInfo(Message):
    """A registry."""

    name: str = ""
    mirrors: list[str] = field(default_factory=list)
    secure: bool = True
    """Whether its certificates are verified."""

    official: bool = False


class RegistryServiceConfig(Message):
    """The settings of registries."""

    insecure_registry_cidrs: list[str] = field(name="InsecureRegistryCIDRs", default_factory=list)
    index_configs: dict[str, IndexInfo] = field(default_factory=dict)
    mirrors: list[str] = field(default_factory=list)


class Runtime(Message, rename=camel_case):
    """An OCI runtime for containers."""

    path: str | Unset = UNSET
    runtime_args: list[str] | Unset = UNSET
    status: dict[str, str] | Unset = UNSET
    """The runtime's features as JSON, under OCI's key."""


class Commit(Message):
    """The version of a program, by its commit."""

    id: str = field(name="ID", default="")


class AddressPool(Message):
    """A pool for the subnets of new networks."""

    base: str
    size: int
    """The prefix length of each subnet."""


class FirewallInfo(Message):
    """The firewall backend of the engine."""

    driver: str = ""
    info: list[tuple[str, str]] | Unset = UNSET


class DeviceInfo(Message):
    """A device found by a device driver."""

    source: str = ""
    """The driver, such as ``cdi``."""

    id: str = field(name="ID", default="")


class NRIInfo(Message):
    """The state of the node resource interface."""

    info: list[tuple[str, str]] | Unset = UNSET


class ContainerdNamespaces(Message):
    """The engine's namespaces in containerd."""

    containers: str = ""
    plugins: str = ""


class ContainerdInfo(Message):
    """The containerd that the engine uses."""

    address: str | Unset = UNSET
    namespaces: ContainerdNamespaces = field(default_factory=ContainerdNamespaces)


class SystemInfo(Message):
    """Information about the engine and the machine."""

    id: str = field(name="ID", default="")
    containers: int = 0
    containers_running: int = 0
    containers_paused: int = 0
    containers_stopped: int = 0
    images: int = 0
    driver: str = ""
    driver_status: list[tuple[str, str]] = field(default_factory=list)
    plugins: PluginsInfo = field(default_factory=PluginsInfo)
    memory_limit: bool = False
    """Whether the kernel supports memory limits."""

    swap_limit: bool = False
    """Whether the kernel supports limits of swap."""

    cpu_cfs_period: bool = False
    cpu_cfs_quota: bool = False
    cpu_shares: bool = field(name="CPUShares", default=False)
    cpu_set: bool = field(name="CPUSet", default=False)
    pids_limit: bool = False
    ipv4_forwarding: bool = field(name="IPv4Forwarding", default=False)
    debug: bool = False
    nfd: int = field(name="NFd", default=0)
    """The number of open files of the engine."""

    oom_kill_disable: bool = False
    ngoroutines: int = field(name="NGoroutines", default=0)
    """The number of tasks and threads of the engine."""

    system_time: str = ""
    """RFC 3339."""

    logging_driver: str = ""
    """The default log driver."""

    cgroup_driver: str = ""
    """``cgroupfs``, ``systemd`` or ``none``."""

    cgroup_version: str | Unset = UNSET
    """``1`` or ``2``."""

    n_events_listener: int = 0
    kernel_version: str = ""
    operating_system: str = ""
    os_version: str = field(name="OSVersion", default="")
    os_type: str = field(name="OSType", default="")
    architecture: str = ""
    """The kernel's name for the processor, such as ``x86_64``."""

    index_server_address: str = ""
    registry_config: RegistryServiceConfig | None = field(default_factory=RegistryServiceConfig)
    ncpu: int = field(name="NCPU", default=0)
    mem_total: int = 0
    """Bytes."""

    generic_resources: list[GenericResource] | None = None
    docker_root_dir: str = ""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    name: str = ""
    """The machine's name."""

    labels: list[str] = field(default_factory=list)
    experimental_build: bool = False
    server_version: str = ""
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    default_runtime: str = ""
    swarm: SwarmInfo = field(default_factory=SwarmInfo)
    live_restore_enabled: bool = False
    """Whether containers continue to run without the engine."""

    isolation: str = ""
    """Windows only."""

    init_binary: str = ""
    containerd_commit: Commit = field(default_factory=Commit)
    runc_commit: Commit = field(default_factory=Commit)
    init_commit: Commit = field(default_factory=Commit)
    security_options: list[str] = field(default_factory=list)
    """``name=seccomp,profile=builtin``."""

    product_license: str | Unset = UNSET
    default_address_pools: list[AddressPool] | Unset = UNSET
    firewall_backend: FirewallInfo | Unset = UNSET
    cdi_spec_dirs: list[str] = field(name="CDISpecDirs", default_factory=list)
    discovered_devices: list[DeviceInfo] | Unset = UNSET
    nri: NRIInfo | Unset = field(name="NRI", default=UNSET)
    containerd: ContainerdInfo | Unset = UNSET
    warnings: list[str] | None = field(default_factory=list)
