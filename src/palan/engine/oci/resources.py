"""Limits of a container as ``linux.resources`` of a runtime spec.

Values are Docker's and cgroup v1's; the runtime converts them for cgroup v2.  Limits without
an equivalent in v2 are left out there, as runtimes refuse them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from palan.api import Unset
from palan.api.containers import Resources, ThrottleDevice, WeightDevice


__all__ = ["CPU_PERIOD", "BlockDevices", "block_device_paths", "linux_resources"]

CPU_PERIOD: Final = 100_000
"""The period of ``NanoCpus`` in microseconds."""

BlockDevices = Mapping[str, tuple[int, int]]
"""Numbers of block devices (major and minor) by their paths."""


def block_device_paths(resources: Resources) -> list[str]:
    """Return the paths of the block devices that have limits; the caller finds their numbers."""
    named: list[WeightDevice | ThrottleDevice] = [
        *(resources.blkio_weight_device or ()),
        *(resources.blkio_device_read_bps or ()),
        *(resources.blkio_device_write_bps or ()),
        *(resources.blkio_device_read_iops or ()),
        *(resources.blkio_device_write_iops or ()),
    ]
    return list(dict.fromkeys(device.path for device in named))


def linux_resources(
    resources: Resources,
    *,
    unified: bool,
    devices: Iterable[dict[str, Any]] = (),
    block_devices: BlockDevices | None = None,
    update: bool = False,
) -> dict[str, Any]:
    """Return ``linux.resources``, which contains only what is limited.

    Args:
        resources: the limits, validated and with their defaults.
        unified: whether the machine has cgroup v2.
        devices: rules of the devices cgroup.
        block_devices: the numbers of all :func:`block_device_paths`.
        update: whether it is for the runtime's ``update``, where a missing limit must be
            written explicitly; for a new container it is left out.
    """
    result: dict[str, Any] = {
        "devices": list(devices),
        "memory": _memory(resources, unified=unified, update=update),
        "cpu": _cpu(resources, unified=unified),
        "blockIO": _block_io(resources, block_devices or {}),
    }
    if resources.pids_limit is not None:
        result["pids"] = {"limit": resources.pids_limit if resources.pids_limit > 0 else -1}
    return {name: value for name, value in result.items() if value}


def _memory(resources: Resources, *, unified: bool, update: bool) -> dict[str, Any]:
    memory: dict[str, Any] = {}
    if resources.memory > 0:
        memory["limit"] = resources.memory
    if resources.memory_reservation > 0:
        memory["reservation"] = resources.memory_reservation
    if resources.memory_swap > 0 or (update and resources.memory_swap == -1):
        memory["swap"] = resources.memory_swap
    if unified:
        return memory
    if resources.memory_swappiness is not None and resources.memory_swappiness >= 0:
        memory["swappiness"] = resources.memory_swappiness
    if resources.oom_kill_disable:
        memory["disableOOMKiller"] = True
    if not isinstance(resources.kernel_memory_tcp, Unset) and resources.kernel_memory_tcp > 0:
        memory["kernelTCP"] = resources.kernel_memory_tcp
    return memory


def _cpu(resources: Resources, *, unified: bool) -> dict[str, Any]:
    cpu: dict[str, Any] = {}
    if resources.cpu_shares:
        cpu["shares"] = resources.cpu_shares
    if resources.nano_cpus > 0:
        cpu["period"] = CPU_PERIOD
        cpu["quota"] = resources.nano_cpus * CPU_PERIOD // 1_000_000_000
    if resources.cpu_period:
        cpu["period"] = resources.cpu_period
    if resources.cpu_quota > 0:  # otherwise unlimited, which is the default
        cpu["quota"] = resources.cpu_quota
    if not unified:
        if resources.cpu_realtime_period:
            cpu["realtimePeriod"] = resources.cpu_realtime_period
        if resources.cpu_realtime_runtime > 0:
            cpu["realtimeRuntime"] = resources.cpu_realtime_runtime
    if resources.cpuset_cpus:
        cpu["cpus"] = resources.cpuset_cpus
    if resources.cpuset_mems:
        cpu["mems"] = resources.cpuset_mems
    return cpu


def _block_io(resources: Resources, numbers: BlockDevices) -> dict[str, Any]:
    block_io: dict[str, Any] = {}
    if resources.blkio_weight:
        block_io["weight"] = resources.blkio_weight
    if resources.blkio_weight_device:
        block_io["weightDevice"] = [
            {**_numbers(device.path, numbers), "weight": device.weight}
            for device in resources.blkio_weight_device
        ]
    for name, limits in (
        ("throttleReadBpsDevice", resources.blkio_device_read_bps),
        ("throttleWriteBpsDevice", resources.blkio_device_write_bps),
        ("throttleReadIOPSDevice", resources.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", resources.blkio_device_write_iops),
    ):
        if limits:
            block_io[name] = [
                {**_numbers(limit.path, numbers), "rate": limit.rate} for limit in limits
            ]
    return block_io


def _numbers(path: str, numbers: BlockDevices) -> dict[str, int]:
    major, minor = numbers[path]
    return {"major": major, "minor": minor}
