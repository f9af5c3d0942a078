"""Mounts of a container: Docker's default ones and the user's, and the protection of /proc.

The masked and read-only paths of /proc and /sys are listed here, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from palan.engine.oci.tmpfs import TMPFS_DEFAULTS, merge_tmpfs_options


__all__ = [
    "DEFAULT_MASKED_PATHS",
    "DEFAULT_READONLY_PATHS",
    "INIT_PATH",
    "SHM",
    "MountPlan",
    "bind_mount",
    "default_masked_paths",
    "oci_mounts",
    "rootfs_propagation",
    "tmpfs_mount",
]

INIT_PATH: Final = "/sbin/docker-init"

DEFAULT_MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
DEFAULT_READONLY_PATHS: Final = tuple(
    f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")
)

_CLOSED: Final = ("nosuid", "noexec", "nodev")
_DEFAULTS: Final = (
    # destination, type, source, options
    ("/proc", "proc", "proc", _CLOSED),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    ("/sys", "sysfs", "sysfs", (*_CLOSED, "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", *_CLOSED)),
    ("/dev/mqueue", "mqueue", "mqueue", _CLOSED),
    ("/dev/shm", "tmpfs", "shm", (*_CLOSED, "mode=1777")),  # noqa: S108 - of the container
)
SHM: Final = "/dev/shm"  # noqa: S108 - of the container


@dataclass(frozen=True, slots=True)
class MountPlan:
    """A mount that the runtime shall create.

    Attributes:
        destination: absolute path in the container.
        source: path on the host; ``tmpfs`` for a tmpfs.
        type: ``bind`` or ``tmpfs``.
        options: mount options as the OCI specification names them.
    """

    destination: str
    source: str
    type: str = "bind"
    options: tuple[str, ...] = ("rbind", "rprivate")


def bind_mount(
    source: str,
    destination: str,
    *,
    read_only: bool = False,
    propagation: str = "",
    recursive: bool = True,
    recursive_read_only: bool = False,
    flags: Iterable[str] = (),
) -> MountPlan:
    """Return the mount of a directory or file of the host, also for volumes and images.

    Args:
        source: absolute path on the host.
        destination: absolute path in the container.
        read_only: whether it can't be written.
        propagation: ``rprivate`` and so on; empty for the runtime's default.
        recursive: whether mounts below the source are included.
        recursive_read_only: whether those are read-only, too (kernel 5.12 and a runtime
            that knows ``rro``).
        flags: the flags of the source's mount on the host, such as ``noexec``: crun clears
            flags that are not named for a bind mount, where runc keeps them.
    """
    options = ["rbind" if recursive else "bind"]
    if read_only:
        options.append("rro" if recursive_read_only else "ro")
    options += (flag for flag in flags if flag != "ro" or not read_only)
    if propagation:
        options.append(propagation)
    return MountPlan(destination, source, "bind", tuple(options))


def tmpfs_mount(destination: str, options: str = "") -> MountPlan:
    """Return a tmpfs with the options of ``HostConfig.Tmpfs``, merged with Docker's defaults.

    Raises:
        InvalidParameter: an option is not one of tmpfs.
    """
    given = options.split(",") if options else []
    merged = merge_tmpfs_options([*TMPFS_DEFAULTS, *given])
    return MountPlan(destination, "tmpfs", "tmpfs", tuple(merged))


def oci_mounts(
    plans: Sequence[MountPlan],
    *,
    shm_size: int,
    ipc_mode: str,
    privileged: bool,
    writable_cgroups: bool | None,
    init_path: str = "",
) -> list[dict[str, Any]]:
    """Return ``mounts`` of a runtime spec: the defaults, then the user's, outer ones first.

    A plan replaces the default mount at its destination; a plan at /dev replaces all default
    mounts below it, too.

    Args:
        plans: the mounts besides the defaults.  /dev/shm of a shareable or joined IPC
            namespace is one of these.
        shm_size: the size of the default /dev/shm in bytes.
        ipc_mode: ``none`` for no /dev/shm, ``host`` for the host's.
        privileged: whether /sys can be written.
        writable_cgroups: whether /sys/fs/cgroup can be written; None for ``privileged``.
        init_path: the program of the host that is mounted at :data:`INIT_PATH`.
    """
    if writable_cgroups is None:
        writable_cgroups = privileged
    taken = {plan.destination for plan in plans}
    mounts = []
    for destination, kind, source, options in _DEFAULTS:
        if destination in taken or ("/dev" in taken and destination.startswith("/dev/")):
            continue
        if destination == SHM:
            if ipc_mode == "none":
                continue
            if ipc_mode == "host":
                mounts.append(_entry(bind_mount(SHM, SHM)))
                continue
        extra = (f"size={shm_size}",) if destination == SHM else ()
        writable = (privileged and kind == "sysfs") or (writable_cgroups and kind == "cgroup")
        kept = tuple(option for option in options if option != "ro" or not writable)
        mounts.append(_entry(MountPlan(destination, source, kind, kept + extra)))
    mounts += (_entry(plan) for plan in sorted(plans, key=_depth))
    if init_path:
        mounts.append(_entry(MountPlan(INIT_PATH, init_path, "bind", ("bind", "ro"))))
    return mounts


def rootfs_propagation(plans: Iterable[MountPlan]) -> str:
    """Return ``linux.rootfsPropagation`` as the mounts require it; empty for the default."""
    options = {option for plan in plans for option in plan.options}
    if options & {"shared", "rshared"}:
        return "shared"
    if options & {"slave", "rslave"}:
        return "rslave"
    return ""


def default_masked_paths(thermal_throttle: Iterable[int] = ()) -> list[str]:
    """Return the paths that are masked by default.

    Args:
        thermal_throttle: the processors that have a ``thermal_throttle`` in /sys, whose
            counters reveal the activity of other users of the machine.
    """
    return [
        *DEFAULT_MASKED_PATHS,
        *(f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle" for cpu in thermal_throttle),
    ]


def _depth(plan: MountPlan) -> int:
    return len(PurePosixPath(plan.destination).parts)


def _entry(plan: MountPlan) -> dict[str, Any]:
    return {
        "destination": plan.destination,
        "type": plan.type,
        "source": plan.source,
        "options": list(plan.options),
    }
