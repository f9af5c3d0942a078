"""Limits of an existing cgroup that the ``update`` of OCI runtimes does not set reliably.

These are the limits and weights of single block devices, which runtimes set only when they
create a container, and the removal of a CPU quota, which crun 1.8 gets wrong. Also settings that
runtimes omit, or expect in the parents of a cgroup.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from palan.host.cgroups import Cgroups, Layout


__all__ = [
    "DeviceLimit",
    "remove_cpu_quota",
    "set_device_limits",
    "set_parent_realtime",
    "set_process_limit",
    "set_tcp_memory",
]

DeviceLimit = Literal["read_bps", "write_bps", "read_iops", "write_iops", "weight"]
"""Bytes or operations per second, or a weight of 10 to 1000."""

_V2_KEYS: Final[Mapping[DeviceLimit, str]] = {
    "read_bps": "rbps",
    "write_bps": "wbps",
    "read_iops": "riops",
    "write_iops": "wiops",
}
_V1_WEIGHTS: Final = ("blkio.bfq.weight_device", "blkio.weight_device")
_V2_WEIGHTS: Final = ("io.bfq.weight", "io.weight")
_BFQ_MAX: Final = 1000

Number = tuple[int, int]


def set_device_limits(
    cgroups: Cgroups, cgroup: str, kind: DeviceLimit, limits: Mapping[Number, int]
) -> None:
    """Replace all limits of one kind. Blocks briefly.

    Args:
        cgroups: the cgroup hierarchies of the machine.
        cgroup: path below the root of the hierarchies.
        kind: the kind of limit.
        limits: by major and minor number; the limits of other devices are removed.

    Raises:
        OSError: the kernel rejects a limit, or does not support this kind.
    """
    unified = cgroups.layout is Layout.V2
    tree = cgroups.paths(cgroup).get("io" if unified else "blkio")
    if tree is None:
        raise OSError(errno.ENOTSUP, "block devices cannot be limited", cgroup)
    file = _file(tree, kind, unified=unified)
    key = _V2_KEYS.get(kind, "") if unified else ""
    removed = {number: 0 for number in _present(file, key) if number not in limits}
    for number, limit in {**removed, **limits}.items():
        _write(file, f"{number[0]}:{number[1]} {_value(file, key, limit)}")


def remove_cpu_quota(cgroups: Cgroups, cgroup: str) -> None:
    """Remove the limit on CPU time, which crun 1.8 does not do. Blocks briefly.

    Raises:
        OSError: the kernel does not support such limits.
    """
    tree = cgroups.paths(cgroup).get("cpu")
    if tree is None:
        raise OSError(errno.ENOTSUP, "processor time cannot be limited", cgroup)
    if cgroups.layout is Layout.V2:
        _write(tree / "cpu.max", "max")
    else:
        _write(tree / "cpu.cfs_quota_us", "-1")


def set_tcp_memory(cgroups: Cgroups, cgroup: str, limit: int) -> None:
    """Limit the bytes in buffers of TCP connections, which runc does not do. Blocks briefly.

    Raises:
        OSError: the kernel does not support it, as with cgroup v2.
    """
    tree = cgroups.paths(cgroup).get("memory")
    if tree is None or cgroups.layout is Layout.V2:
        raise OSError(errno.ENOTSUP, "buffers of TCP connections cannot be limited", cgroup)
    _write(tree / "memory.kmem.tcp.limit_in_bytes", str(limit))


def set_parent_realtime(cgroups: Cgroups, cgroup: str, period: int, runtime: int) -> None:
    """Give real-time CPU time to all ancestors of a cgroup. Blocks briefly.

    In cgroup v1 a cgroup cannot have more of it than its parent, and a new cgroup has none.

    Args:
        cgroups: the cgroup hierarchies of the machine.
        cgroup: path below the root of the hierarchies.
        period: microseconds; 0 leaves it unchanged.
        runtime: microseconds in each period; 0 leaves it unchanged.

    Raises:
        OSError: an ancestor does not have that much.
    """
    tree = cgroups.controllers.get("cpu")
    if tree is None or cgroups.layout is Layout.V2:
        raise OSError(errno.ENOTSUP, "there is no real-time time to give away", cgroup)
    directory = tree
    for part in cgroup.strip("/").split("/")[:-1]:
        directory /= part
        directory.mkdir(mode=0o755, exist_ok=True)
        for name, value in (("cpu.rt_period_us", period), ("cpu.rt_runtime_us", runtime)):
            file = directory / name
            if value and file.read_text().strip() != str(value):
                _write(file, str(value))


def set_process_limit(cgroups: Cgroups, cgroup: str, limit: int) -> None:
    """Limit the number of processes and threads; 0 is no limit. Blocks briefly.

    Raises:
        OSError: the kernel does not support such limits.
    """
    tree = cgroups.paths(cgroup).get("pids")
    if tree is None:
        raise OSError(errno.ENOTSUP, "processes cannot be limited", cgroup)
    _write(tree / "pids.max", str(limit) if limit > 0 else "max")


def _file(tree: Path, kind: DeviceLimit, *, unified: bool) -> Path:
    if kind != "weight":
        return tree / ("io.max" if unified else f"blkio.throttle.{kind}_device")
    names = _V2_WEIGHTS if unified else _V1_WEIGHTS
    return next((tree / name for name in names if (tree / name).exists()), tree / names[0])


def _value(file: Path, key: str, limit: int) -> str:
    if key:
        return f"{key}={limit or 'max'}"
    if file.name == "io.weight":
        # Docker's 10 to 1000 is 1 to 10000 here; the runtimes convert in the same way.
        return str(1 + (limit - 10) * 9999 // 990) if limit else "default"
    if file.name == "io.bfq.weight":
        return str(min(limit, _BFQ_MAX)) if limit else "default"
    return str(limit)


def _present(file: Path, key: str) -> list[Number]:
    """Return the devices that have such a limit now."""
    found = []
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        device, *words = line.split() or [""]
        major, colon, minor = device.partition(":")
        if not (colon and major.isdecimal() and minor.isdecimal()):
            continue  # "default", the weight of all other devices
        if not key or any(word.startswith(f"{key}=") and word[-3:] != "max" for word in words):
            found.append((int(major), int(minor)))
    return found


def _write(file: Path, line: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {line!r}", str(file)) from None
    finally:
        os.close(fd)
