"""Control groups (cgroups(7)) of version 1, version 2, or both (hybrid).

In v1 each controller, or a few together, has a hierarchy (a mounted tree) of its own; in v2
there is one hierarchy. A *hybrid* machine has the controllers in v1 hierarchies and an empty v2
hierarchy at ``unified``. This module knows the directories and files; the OCI runtime decides
what to write into them.
"""

import contextlib
import enum
import errno
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final


__all__ = [
    "CgroupFeatures",
    "Cgroups",
    "Layout",
    "detect",
    "freeze",
    "is_frozen",
    "kill_all",
    "processes",
    "read_keyed",
    "read_value",
    "remove",
    "thaw",
]

_ROOT: Final = Path("/sys/fs/cgroup")
_PROCS: Final = "cgroup.procs"
_CONTROLLERS: Final = "cgroup.controllers"
_PAUSE: Final = 0.005


class Layout(enum.Enum):
    """The cgroup versions that a machine uses."""

    V1 = "v1"
    V2 = "v2"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class CgroupFeatures:
    """Resources that can be limited; named after the fields of ``docker info``."""

    memory_limit: bool = False
    swap_limit: bool = False
    memory_reservation: bool = False
    memory_swappiness: bool = False
    kernel_memory: bool = False
    kernel_memory_tcp: bool = False
    oom_kill_disable: bool = False
    cpu_shares: bool = False
    cpu_cfs_period: bool = False
    cpu_cfs_quota: bool = False
    cpu_realtime: bool = False
    cpuset: bool = False
    pids_limit: bool = False
    blkio_weight: bool = False
    blkio_weight_device: bool = False
    blkio_read_bps: bool = False
    blkio_write_bps: bool = False
    blkio_read_iops: bool = False
    blkio_write_iops: bool = False
    devices: bool = False


# For each feature the controller and the file that shows that it is supported.
_V1_FILES: Final = {
    "memory_limit": ("memory", "memory.limit_in_bytes"),
    "swap_limit": ("memory", "memory.memsw.limit_in_bytes"),
    "memory_reservation": ("memory", "memory.soft_limit_in_bytes"),
    "memory_swappiness": ("memory", "memory.swappiness"),
    "kernel_memory": ("memory", "memory.kmem.limit_in_bytes"),
    "kernel_memory_tcp": ("memory", "memory.kmem.tcp.limit_in_bytes"),
    "oom_kill_disable": ("memory", "memory.oom_control"),
    "cpu_shares": ("cpu", "cpu.shares"),
    "cpu_cfs_period": ("cpu", "cpu.cfs_period_us"),
    "cpu_cfs_quota": ("cpu", "cpu.cfs_quota_us"),
    "cpu_realtime": ("cpu", "cpu.rt_runtime_us"),
    "cpuset": ("cpuset", "cpuset.cpus"),
    "pids_limit": ("pids", _PROCS),
    "blkio_weight": ("blkio", "blkio.bfq.weight"),
    "blkio_weight_device": ("blkio", "blkio.bfq.weight_device"),
    "blkio_read_bps": ("blkio", "blkio.throttle.read_bps_device"),
    "blkio_write_bps": ("blkio", "blkio.throttle.write_bps_device"),
    "blkio_read_iops": ("blkio", "blkio.throttle.read_iops_device"),
    "blkio_write_iops": ("blkio", "blkio.throttle.write_iops_device"),
    "devices": ("devices", _PROCS),
}

# In v2 only the controller is checked, as the files are missing in the root cgroup.
_V2_CONTROLLERS: Final = {
    "memory_limit": "memory",
    "swap_limit": "memory",
    "memory_reservation": "memory",
    "cpu_shares": "cpu",
    "cpu_cfs_period": "cpu",
    "cpu_cfs_quota": "cpu",
    "cpuset": "cpuset",
    "pids_limit": "pids",
    "blkio_weight": "io",
    "blkio_weight_device": "io",
    "blkio_read_bps": "io",
    "blkio_write_bps": "io",
    "blkio_read_iops": "io",
    "blkio_write_iops": "io",
}


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The cgroup hierarchies of the machine.

    Attributes:
        layout: the cgroup versions.
        root: the directory in which the hierarchies are mounted.
        controllers: the root directory of each controller, such as ``memory``; in v2 the same
            directory for all.
        trees: the root directories of all hierarchies, also of those without controllers
            (``name=systemd``, the empty ``unified`` of a hybrid machine).
    """

    layout: Layout
    root: Path
    controllers: Mapping[str, Path]
    trees: tuple[Path, ...] = field(default=())

    @property
    def version(self) -> str:
        """The version that limits resources, ``1`` or ``2``, as in ``docker info``."""
        return "2" if self.layout is Layout.V2 else "1"

    def paths(self, cgroup: str) -> dict[str, Path]:
        """Return the directory of a cgroup for each controller.

        Args:
            cgroup: path below the root of the hierarchies, such as ``/docker/0123``.
        """
        relative = _relative(cgroup)
        return {name: tree / relative for name, tree in self.controllers.items()}

    def directories(self, cgroup: str) -> list[Path]:
        """Return the directories of a cgroup in all hierarchies, whether they exist or not."""
        relative = _relative(cgroup)
        return [tree / relative for tree in self.trees]

    def available(self) -> tuple[str, str]:
        """Return the CPUs and memory nodes that cgroups can use, such as ``0-3``.

        Both are "" without a cpuset controller.
        """
        tree = self.controllers.get("cpuset")
        if tree is None:
            return "", ""
        names = ("cpuset.{}.effective", "cpuset.effective_{}", "cpuset.{}")
        cpus, mems = (
            next((" ".join(w) for n in names if (w := _words(tree / n.format(what)))), "")
            for what in ("cpus", "mems")
        )
        return cpus, mems

    def features(self) -> CgroupFeatures:
        """Return the resources that can be limited."""
        names = [entry.name for entry in fields(CgroupFeatures)]
        found = {
            name: self._has_v2(name) if self.layout is Layout.V2 else self._has_v1(name)
            for name in names
        }
        return CgroupFeatures(**found)

    def _has_v1(self, feature: str) -> bool:
        controller, name = _V1_FILES[feature]
        tree = self.controllers.get(controller)
        if tree is None:
            return False
        if (tree / name).exists():
            return True
        # Some files, such as weights, are missing in the root cgroup only.
        return any((child / name).exists() for child in _children(tree))

    def _has_v2(self, feature: str) -> bool:
        if feature == "devices":
            return True  # enforced by a BPF program, not a controller
        controller = _V2_CONTROLLERS.get(feature)
        if controller is None or controller not in self.controllers:
            return False
        if feature != "swap_limit":
            return True
        # The kernel may be built or booted without swap accounting.
        with_memory = [child for child in _children(self.root) if _has_memory(child)]
        return not with_memory or any((c / "memory.swap.max").exists() for c in with_memory)


def _relative(cgroup: str) -> str:
    relative = cgroup.strip("/")
    if not relative or any(part in ("..", ".", "") for part in relative.split("/")):
        raise ValueError(f"not a cgroup below the root: {cgroup!r}")
    return relative


def _children(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _has_memory(cgroup: Path) -> bool:
    return (cgroup / "memory.max").exists()


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def detect(root: Path = _ROOT) -> Cgroups:
    """Detect the cgroups mounted below ``root``.

    Without any, the layout is V2 without controllers, so nothing can be limited.
    """
    if (root / _CONTROLLERS).exists():
        names = _words(root / _CONTROLLERS)
        return Cgroups(Layout.V2, root, dict.fromkeys(names, root), (root,))
    controllers: dict[str, Path] = {}
    trees: list[Path] = []
    hybrid = False
    for child in sorted(_children(root)):
        if (child / _CONTROLLERS).exists():
            # Controllers that no v1 hierarchy claims appear here; they are not used.
            hybrid = True
            trees.append(child)
        elif (child / _PROCS).exists():
            trees.append(child)
            if child.name != "systemd":
                controllers |= dict.fromkeys(child.name.split(","), child)
    if not trees:
        return Cgroups(Layout.V2, root, {}, ())
    return Cgroups(Layout.HYBRID if hybrid else Layout.V1, root, controllers, tuple(trees))


# ---- reading ----------------------------------------------------------------


def read_value(path: Path) -> int | None:
    """Return the number in a file; None for ``max`` and if the file does not exist."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.lstrip("-").isdigit() else None


def read_keyed(path: Path) -> dict[str, int]:
    """Parse a file of ``key number`` lines, such as ``memory.stat``; {} if it is absent."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value.isdigit():
            found[key] = int(value)
    return found


def _trees_below(cgroup: Path) -> list[Path]:
    """Return a cgroup and all its descendants, deepest first."""
    found = []
    for child in _children(cgroup):
        found += _trees_below(child)
    return [*found, cgroup]


def processes(cgroup: Path) -> set[int]:
    """Return the processes in a cgroup and its descendants; empty if it does not exist."""
    found: set[int] = set()
    for directory in _trees_below(cgroup):
        with contextlib.suppress(OSError):  # removed in the meantime, or threaded
            found.update(map(int, (directory / _PROCS).read_text().split()))
    return found


# ---- changing ---------------------------------------------------------------


def _set_frozen(cgroup: Path, frozen: bool, timeout: float) -> None:
    first_generation = cgroup / "freezer.state"
    deadline = time.monotonic() + timeout
    if first_generation.exists():
        wanted = "FROZEN" if frozen else "THAWED"
        while True:
            # Write it again each time, because a process that is being forked can escape once.
            first_generation.write_text(wanted)
            if first_generation.read_text().strip() == wanted:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
    else:
        (cgroup / "cgroup.freeze").write_text("1" if frozen else "0")
        while True:
            if read_keyed(cgroup / "cgroup.events").get("frozen", int(frozen)) == int(frozen):
                return
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
    if frozen:
        with contextlib.suppress(OSError):
            _set_frozen(cgroup, frozen=False, timeout=0)
    word = "freeze" if frozen else "thaw"
    raise TimeoutError(errno.ETIMEDOUT, f"processes do not {word}", str(cgroup))


def freeze(cgroup: Path, *, timeout: float = 10.0) -> None:
    """Freeze all processes of a cgroup.

    Args:
        cgroup: its directory; in v1 the one in the ``freezer`` hierarchy.
        timeout: seconds; processes that wait for a dead disk, for example, cannot be frozen.

    Raises:
        TimeoutError: not all processes froze; they are thawed again.
        OSError: no such cgroup.
    """
    _set_frozen(cgroup, frozen=True, timeout=timeout)


def thaw(cgroup: Path, *, timeout: float = 10.0) -> None:
    """Thaw the processes of a frozen cgroup.

    Raises:
        TimeoutError: not all processes thawed, for example because a parent is frozen.
        OSError: no such cgroup.
    """
    _set_frozen(cgroup, frozen=False, timeout=timeout)


def is_frozen(cgroup: Path) -> bool:
    """Whether the processes of a cgroup are frozen or being frozen.

    Args:
        cgroup: its directory; in v1 the one in the ``freezer`` hierarchy. False if it does
            not exist.
    """
    for name in ("freezer.state", "cgroup.freeze"):
        with contextlib.suppress(OSError):
            return (cgroup / name).read_text().strip() not in ("THAWED", "0")
    return False


def kill_all(cgroup: Path, *, timeout: float = 10.0) -> bool:
    """Kill all processes of a cgroup and its descendants, and wait until they have ended.

    Args:
        cgroup: its directory in any hierarchy; a frozen cgroup of v1 needs the one in the
            ``freezer`` hierarchy, and is thawed so that its processes can die.
        timeout: seconds.

    Returns:
        False if some processes still existed after that time.
    """
    deadline = time.monotonic() + timeout
    if not cgroup.exists():
        return True
    try:
        (cgroup / "cgroup.kill").write_text("1")  # cgroup v2, Linux 5.14
        at_once = True
    except OSError:
        at_once = False
    while True:
        remaining = processes(cgroup) - {0}
        if not remaining:
            return True
        if not at_once:
            for pid in remaining:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if (cgroup / "freezer.state").exists():
                (cgroup / "freezer.state").write_text("THAWED")
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)


def remove(cgroups: Iterable[Path], *, timeout: float = 1.0) -> list[Path]:
    """Remove cgroups and their descendants.

    A cgroup stays busy for a moment after its last process was reaped, so removal is retried.

    Args:
        cgroups: their directories, one for each hierarchy; absent ones are ignored.
        timeout: seconds for all of them together.

    Returns:
        The directories that still contain processes.
    """
    deadline = time.monotonic() + timeout
    remaining = list(cgroups)
    while True:
        remaining = [cgroup for cgroup in remaining if not _try_to_remove(cgroup)]
        if not remaining or time.monotonic() > deadline:
            return remaining
        time.sleep(_PAUSE)


def _try_to_remove(cgroup: Path) -> bool:
    for directory in _trees_below(cgroup):
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
    return True
