"""Resources used by a cgroup: CPU time, memory, block devices, number of processes.

A sample of one container reads some twenty small files in cgroup v1, or eight in v2, and there
may be hundreds of containers to sample each second. Therefore :class:`CgroupMeter` keeps what does
not change between samples, and files are read without Python's file objects, which cost more than
the kernel's work.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from palan.host.cgroups import Cgroups, Layout


__all__ = ["BlockIO", "CgroupMeter", "Usage", "online_processors", "system_processor_time"]

_TICK_NS: Final = 10_000_000
"""USER_HZ is 100 on all machines that Linux runs on."""

_MAX_SIZE: Final = 1 << 16
"""Maximum size of these files in bytes."""

_V1_MEMORY: Final = (
    "cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout",
    "pgfault", "pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable",
)  # fmt: skip
_V1_KEYS: Final = frozenset((
    *_V1_MEMORY,
    *(f"total_{name}" for name in _V1_MEMORY),
    "hierarchical_memory_limit",
    "hierarchical_memsw_limit",
))  # fmt: skip
_V2_KEYS: Final = frozenset((
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty",
    "file_writeback", "anon_thp", "inactive_anon", "active_anon", "inactive_file",
    "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault",
    "pgmajfault", "workingset_refault", "workingset_activate", "workingset_nodereclaim",
    "pgrefill", "pgscan", "pgsteal", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed",
    "thp_fault_alloc", "thp_collapse_alloc",
))  # fmt: skip
"""The counters of ``memory.stat`` that dockerd reports; the kernel has more."""

_V2_SUMS: Final = ("workingset_refault", "workingset_activate")
"""Counters that newer kernels split into anonymous memory and files."""

_V1_BLKIO: Final = (
    # Name of the counter; file name without and with an I/O scheduler.
    ("service_bytes", "throttle.io_service_bytes_recursive", "io_service_bytes_recursive"),
    ("serviced", "throttle.io_serviced_recursive", "io_serviced_recursive"),
    ("queued", "", "io_queued_recursive"),
    ("service_time", "", "io_service_time_recursive"),
    ("wait_time", "", "io_wait_time_recursive"),
    ("merged", "", "io_merged_recursive"),
    ("time", "", "time_recursive"),
    ("sectors", "", "sectors_recursive"),
)

BlockIO = tuple[int, int, str, int]
"""Major and minor number, kind (``read``, ``write`` ...) and count."""


@dataclass(slots=True)
class Usage:
    """One sample.

    Attributes:
        processor: nanoseconds of CPU time on all processors together.
        per_processor: nanoseconds on each processor; None in cgroup v2.
        user: nanoseconds in user mode.
        system: nanoseconds in kernel mode.
        periods: number of periods in which a CPU limit was in force.
        throttled_periods: number of these periods in which processes were throttled.
        throttled: nanoseconds for which they were throttled.
        memory: bytes; None without a memory controller, then all memory fields are unset.
        memory_peak: maximum of ``memory`` so far; cgroup v1 only.
        memory_limit: bytes; None for no limit.
        memory_failures: number of times that the limit was hit.
        memory_details: the counters of ``memory.stat``.
        processes: number of processes and threads; None without a pids controller.
        process_limit: maximum of ``processes``; None for no limit.
        block_io: counts by kind of counter; None for a kind that this cgroup version lacks.
    """

    processor: int = 0
    per_processor: list[int] | None = None
    user: int = 0
    system: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0
    memory: int | None = None
    memory_peak: int = 0
    memory_limit: int | None = None
    memory_failures: int = 0
    memory_details: dict[str, int] = field(default_factory=dict)
    processes: int | None = None
    process_limit: int | None = None
    block_io: dict[str, list[BlockIO]] = field(default_factory=dict)


class CgroupMeter:
    """Reads the resource usage of one cgroup. Blocks for well below a millisecond.

    Args:
        cgroups: the cgroup hierarchies of the machine.
        cgroup: path below the root of the hierarchies.
    """

    def __init__(self, cgroups: Cgroups, cgroup: str) -> None:
        self._unified = cgroups.layout is Layout.V2
        paths = cgroups.paths(cgroup)
        self._paths = {name: str(path) for name, path in paths.items()}
        self._block_io: list[tuple[str, str]] | None = None

    def read(self) -> Usage:
        """Take a sample.

        Raises:
            OSError: no such cgroup.
        """
        usage = Usage()
        if self._unified:
            self._read_v2(usage)
        else:
            self._read_v1(usage)
        return usage

    # ---- cgroup v1 -------------------------------------------------------------------

    def _read_v1(self, usage: Usage) -> None:
        if tree := self._paths.get("cpuacct"):
            usage.per_processor = [
                int(word) for word in _read(f"{tree}/cpuacct.usage_percpu").split()
            ]
            usage.processor = sum(usage.per_processor)
            times = _keyed(f"{tree}/cpuacct.stat")
            usage.user = times.get(b"user", 0) * _TICK_NS
            usage.system = times.get(b"system", 0) * _TICK_NS
        if tree := self._paths.get("cpu"):
            limit = _keyed(f"{tree}/cpu.stat")
            usage.periods = limit.get(b"nr_periods", 0)
            usage.throttled_periods = limit.get(b"nr_throttled", 0)
            usage.throttled = limit.get(b"throttled_time", 0)
        if tree := self._paths.get("memory"):
            usage.memory = _number(f"{tree}/memory.usage_in_bytes")
            usage.memory_peak = _number(f"{tree}/memory.max_usage_in_bytes") or 0
            usage.memory_limit = _number(f"{tree}/memory.limit_in_bytes")
            usage.memory_failures = _number(f"{tree}/memory.failcnt") or 0
            usage.memory_details = _chosen(f"{tree}/memory.stat", _V1_KEYS)
        self._read_processes(usage)
        if tree := self._paths.get("blkio"):
            if self._block_io is None:
                self._block_io = list(_block_io_files(tree))
            usage.block_io = {kind: [] for kind, _, _ in _V1_BLKIO}
            for kind, path in self._block_io:
                usage.block_io[kind] = _v1_block_io(_read(path))

    def _read_processes(self, usage: Usage) -> None:
        if tree := self._paths.get("pids"):
            usage.processes = _number(f"{tree}/pids.current")
            usage.process_limit = _number(f"{tree}/pids.max")

    # ---- cgroup v2 -------------------------------------------------------------------

    def _read_v2(self, usage: Usage) -> None:
        if tree := self._paths.get("cpu"):
            times = _keyed(f"{tree}/cpu.stat")
            usage.processor = times.get(b"usage_usec", 0) * 1000
            usage.user = times.get(b"user_usec", 0) * 1000
            usage.system = times.get(b"system_usec", 0) * 1000
            usage.periods = times.get(b"nr_periods", 0)
            usage.throttled_periods = times.get(b"nr_throttled", 0)
            usage.throttled = times.get(b"throttled_usec", 0) * 1000
        if tree := self._paths.get("memory"):
            usage.memory = _number(f"{tree}/memory.current")
            usage.memory_limit = _number(f"{tree}/memory.max")
            usage.memory_failures = _keyed(f"{tree}/memory.events").get(b"oom", 0)
            usage.memory_details = _v2_memory(f"{tree}/memory.stat")
        self._read_processes(usage)
        if tree := self._paths.get("io"):
            usage.block_io = _v2_block_io(_read(f"{tree}/io.stat"))


# ---- the machine ---------------------------------------------------------------------


def system_processor_time(path: Path = Path("/proc/stat")) -> int:
    """Return the time, busy or idle, of all processors since boot in nanoseconds."""
    words = path.read_bytes().partition(b"\n")[0].split()
    # user, nice, system, idle, iowait, irq, softirq; without time stolen by other VMs.
    return sum(int(word) for word in words[1:8]) * _TICK_NS


def online_processors() -> int:
    """Return the number of processors that are online."""
    return os.sysconf("SC_NPROCESSORS_ONLN")


# ---- files ---------------------------------------------------------------------------


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MAX_SIZE)
    finally:
        os.close(fd)


def _number(path: str) -> int | None:
    """Return the number in a file; None for ``max`` and if the file does not exist."""
    try:
        text = _read(path).strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _keyed(path: str) -> dict[bytes, int]:
    words = _read(path).split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _chosen(path: str, keys: frozenset[str]) -> dict[str, int]:
    words = _read(path).decode().split()
    return {
        key: int(value)
        for key, value in zip(words[::2], words[1::2], strict=True)
        if key in keys
    }  # fmt: skip


def _v2_memory(path: str) -> dict[str, int]:
    found = {key.decode(): value for key, value in _keyed(path).items()}
    for name in _V2_SUMS:
        if name not in found:
            found[name] = found.get(f"{name}_anon", 0) + found.get(f"{name}_file", 0)
    return {key: found.get(key, 0) for key in sorted(_V2_KEYS)}


def _block_io_files(tree: str) -> Iterable[tuple[str, str]]:
    """Iterate over the existing files of cgroup v1, one for each kind of counter.

    Which files exist depends on the I/O schedulers of the kernel; the files of the throttling
    layer count with every scheduler.
    """
    for kind, always, scheduled in _V1_BLKIO:
        names = [f"blkio.{always}"] if always else []
        names += [f"blkio.{scheduled}", f"blkio.bfq.{scheduled}"]
        for name in names:
            path = f"{tree}/{name}"
            if os.path.exists(path):  # noqa: PTH110 - for each container
                yield kind, path
                break


def _v1_block_io(data: bytes) -> list[BlockIO]:
    """Parse lines such as ``8:0 Read 4096``, or ``8:0 12`` without a kind; skip the total."""
    found = []
    for line in data.decode().splitlines():
        words = line.split()
        major, colon, minor = words[0].partition(":") if words else ("", "", "")
        if not colon:
            continue
        kind = words[1].lower() if len(words) == 3 else ""
        found.append((int(major), int(minor), kind, int(words[-1])))
    return found


def _v2_block_io(data: bytes) -> dict[str, list[BlockIO]]:
    """Parse lines such as ``8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0``."""
    service_bytes: list[BlockIO] = []
    serviced: list[BlockIO] = []
    for line in data.decode().splitlines():
        device, *words = line.split()
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        counts = dict(word.split("=", 1) for word in words if "=" in word)
        for kind, initial in (("read", "r"), ("write", "w")):
            for wanted, unit in ((service_bytes, "bytes"), (serviced, "ios")):
                count = counts.get(f"{initial}{unit}")
                if count is not None:
                    wanted.append((int(major), int(minor), kind, int(count)))
    return {"service_bytes": service_bytes, "serviced": serviced}
