"""The settings of a container on this machine: limits, namespaces, devices, mounts, ports.

``HostConfig`` is used in requests (create) and in results (inspect), so absent, empty and null
are distinguished as in dockerd's answers.
"""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._mounts import Mount
from palan.api._network_types import PortMap


__all__ = [
    "DeviceMapping",
    "DeviceRequest",
    "HostConfig",
    "LogConfig",
    "Resources",
    "RestartPolicy",
    "ThrottleDevice",
    "Ulimit",
    "WeightDevice",
]


class DeviceMapping(Message):
    """A device of the host that is created in the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""
    """The permissions, letters of ``rwm``."""


class DeviceRequest(Message):
    """A request for devices by capabilities, from a driver such as ``nvidia`` or ``cdi``."""

    driver: str = ""
    count: int = 0
    """The number of devices; -1 is all."""

    device_ids: list[str] | None = field(name="DeviceIDs", default=None)
    capabilities: list[list[str]] | None = None
    """Alternative sets of capabilities; the devices have all capabilities of one of the sets."""

    options: dict[str, str] | None = None


class ThrottleDevice(Message):
    """A limit on the rate of one block device."""

    path: str = ""
    rate: int = 0
    """Bytes or operations per second."""


class WeightDevice(Message):
    """The weight of one block device."""

    path: str = ""
    weight: int = 0
    """10 to 1000."""


class Ulimit(Message):
    """A resource limit of the container's processes."""

    name: str = ""
    hard: int = 0
    soft: int = 0


class RestartPolicy(Message):
    """The condition for restarting a container that has exited."""

    name: str = ""
    """``no`` (or empty), ``always``, ``unless-stopped`` or ``on-failure``."""

    maximum_retry_count: int = 0
    """The maximum for ``on-failure``; 0 is unlimited."""


class LogConfig(Message):
    """The log driver of a container, and its options."""

    type: str = ""
    config: dict[str, str] = field(default_factory=dict)


class Resources(Message):
    """Limits of a container's resources; 0 is unlimited, or unchanged in an update."""

    cpu_shares: int = 0
    memory: int = 0
    """Bytes."""

    nano_cpus: int = 0
    """Processors, in billionths of one."""

    cgroup_parent: str = ""
    blkio_weight: int = 0
    """10 to 1000."""

    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = field(
        name="BlkioDeviceReadIOps", default=None
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = field(
        name="BlkioDeviceWriteIOps", default=None
    )
    cpu_period: int = 0
    """Microseconds."""

    cpu_quota: int = 0
    """Microseconds per period."""

    cpu_realtime_period: int = 0
    """Microseconds."""

    cpu_realtime_runtime: int = 0
    """Microseconds per period."""

    cpuset_cpus: str = ""
    """The processors to run on, such as ``0-2,4``."""

    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    """Rules for devices, such as ``c 13:* rwm``."""

    device_requests: list[DeviceRequest] | None = None
    kernel_memory: int | Unset = UNSET
    """Bytes; ignored since 1.42."""

    kernel_memory_tcp: int | Unset = field(name="KernelMemoryTCP", default=UNSET)
    """Bytes; from 1.40 to 1.51, and cgroup v1 only."""

    memory_reservation: int = 0
    """Bytes."""

    memory_swap: int = 0
    """Bytes of memory and swap together; -1 is unlimited."""

    memory_swappiness: int | None = None
    """0 to 100; -1 or null is the kernel's default."""

    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    """The maximum of processes; 0 and -1 are unlimited, null is unchanged in an update."""

    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    """Windows only."""

    cpu_percent: int = 0
    """Windows only."""

    io_maximum_iops: int = field(name="IOMaximumIOps", default=0)
    """Windows only."""

    io_maximum_bandwidth: int = field(name="IOMaximumBandwidth", default=0)
    """Windows only."""


class HostConfig(Resources):
    """The settings of a container on this machine."""

    binds: list[str] | None = None
    """``source:target[:options]``."""

    container_id_file: str = field(name="ContainerIDFile", default="")
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = ""
    """``bridge``, ``host``, ``none``, ``container:<name or id>`` or a network."""

    port_bindings: PortMap = field(default_factory=dict)
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    """``container[:ro|rw]``."""

    mounts: list[Mount] | Unset = UNSET
    console_size: tuple[int, int] = (0, 0)
    """Height and width of the TTY at start."""

    annotations: dict[str, str] | Unset = UNSET
    """Annotations for the OCI runtime."""

    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    capabilities: list[str] | Unset = UNSET
    """Only in 1.40, which refused it."""

    cgroupns_mode: str = ""
    """``private`` or ``host``; empty is the engine's default."""

    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    """``name:address``."""

    group_add: list[str] | None = None
    ipc_mode: str = ""
    """``none``, ``private``, ``shareable``, ``container:<name or id>`` or ``host``."""

    cgroup: str = ""
    """``container:<name or id>`` shares the cgroup of that container."""

    links: list[str] | None = None
    """``container:alias``; in results, ``/container:/self/alias``."""

    oom_score_adj: int = 0
    pid_mode: str = ""
    """``container:<name or id>`` or ``host``."""

    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | Unset = UNSET
    tmpfs: dict[str, str] | Unset = UNSET
    """Mount options by target."""

    uts_mode: str = field(name="UTSMode", default="")
    userns_mode: str = ""
    shm_size: int = 0
    """Bytes; 0 is the engine's default."""

    sysctls: dict[str, str] | Unset = UNSET
    runtime: str = ""
    isolation: str = ""
    """Windows only."""

    init: bool | Unset = UNSET
    """Run an init program as process 1; the engine's setting by default."""

    masked_paths: list[str] | None = None
    """Paths hidden from the container; null is the engine's default, ``[]`` hides no path."""

    readonly_paths: list[str] | None = None
    """Read-only paths; null is the engine's default, ``[]`` protects no path."""
