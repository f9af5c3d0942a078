"""Resource usage of a container: the samples of ``GET /containers/{id}/stats``.

The JSON keys are in snake_case. A stopped container has zeros, and ``{}`` for memory and
processes.
"""

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = [
    "ContainerBlkioStatEntry",
    "ContainerBlkioStats",
    "ContainerCPUStats",
    "ContainerCPUUsage",
    "ContainerMemoryStats",
    "ContainerNetworkStats",
    "ContainerPidsStats",
    "ContainerStatsResponse",
    "ContainerStorageStats",
    "ContainerThrottlingData",
]


class ContainerCPUUsage(Message, rename=None):
    """Processor time, in nanoseconds."""

    total_usage: int = 0
    percpu_usage: list[int] | Unset = UNSET
    """Time per processor; cgroup v1 only."""

    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class ContainerThrottlingData(Message, rename=None):
    """The effect of a limit of processor time."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0
    """Nanoseconds."""


class ContainerCPUStats(Message, rename=None):
    """Processor time of the container and of the machine."""

    cpu_usage: ContainerCPUUsage = field(default_factory=ContainerCPUUsage)
    system_cpu_usage: int | Unset = UNSET
    """Nanoseconds of all processors since boot."""

    online_cpus: int | Unset = UNSET
    throttling_data: ContainerThrottlingData = field(default_factory=ContainerThrottlingData)


class ContainerMemoryStats(Message, rename=None, omit_defaults=True):
    """Memory, in bytes."""

    usage: int = 0
    max_usage: int = 0
    """cgroup v1 only."""

    stats: dict[str, int] = field(default_factory=dict)
    """The kernel's ``memory.stat``."""

    failcnt: int = 0
    """The number of times that the limit was hit; cgroup v1 only."""

    limit: int = 0
    commitbytes: int = 0
    """Windows only."""

    commitpeakbytes: int = 0
    """Windows only."""

    privateworkingset: int = 0
    """Windows only."""


class ContainerPidsStats(Message, rename=None, omit_defaults=True):
    """Processes and threads."""

    current: int = 0
    limit: int = 0
    """The limit; absent if there is no limit."""


class ContainerBlkioStatEntry(Message, rename=None):
    """A counter of one block device."""

    major: int = 0
    minor: int = 0
    op: str = ""
    """``read``, ``write``, ``sync``, ``async``, ``total`` ..."""

    value: int = 0


class ContainerBlkioStats(Message, rename=None):
    """Counters of block devices; with cgroup v2 all but bytes and operations are null."""

    io_service_bytes_recursive: list[ContainerBlkioStatEntry] | None = None
    io_serviced_recursive: list[ContainerBlkioStatEntry] | None = None
    io_queue_recursive: list[ContainerBlkioStatEntry] | None = None
    io_service_time_recursive: list[ContainerBlkioStatEntry] | None = None
    io_wait_time_recursive: list[ContainerBlkioStatEntry] | None = None
    io_merged_recursive: list[ContainerBlkioStatEntry] | None = None
    io_time_recursive: list[ContainerBlkioStatEntry] | None = None
    sectors_recursive: list[ContainerBlkioStatEntry] | None = None


class ContainerNetworkStats(Message, rename=None):
    """Counters of one network interface, as seen from inside the container."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0
    endpoint_id: str | Unset = UNSET
    """Windows only."""

    instance_id: str | Unset = UNSET
    """Windows only."""


class ContainerStorageStats(Message, rename=None, omit_defaults=True):
    """Storage; Windows only, ``{}`` on Linux."""

    read_count_normalized: int = 0
    read_size_bytes: int = 0
    write_count_normalized: int = 0
    write_size_bytes: int = 0


class ContainerStatsResponse(Message, rename=None):
    """One sample, with the processor times of the previous sample."""

    id: str | Unset = UNSET
    name: str | Unset = UNSET
    """With a leading slash."""

    os_type: str | Unset = UNSET
    read: str = "0001-01-01T00:00:00Z"
    """The time of the sample, RFC 3339."""

    cpu_stats: ContainerCPUStats = field(default_factory=ContainerCPUStats)
    memory_stats: ContainerMemoryStats = field(default_factory=ContainerMemoryStats)
    networks: dict[str, ContainerNetworkStats] | Unset = UNSET
    """The counters by interface; absent if the container shares a network namespace."""

    pids_stats: ContainerPidsStats = field(default_factory=ContainerPidsStats)
    blkio_stats: ContainerBlkioStats = field(default_factory=ContainerBlkioStats)
    num_procs: int = 0
    """Windows only."""

    storage_stats: ContainerStorageStats = field(default_factory=ContainerStorageStats)
    preread: str = "0001-01-01T00:00:00Z"
    precpu_stats: ContainerCPUStats = field(default_factory=ContainerCPUStats)
