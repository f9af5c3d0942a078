"""Mounts over /proc, and inside of it, are refused, as runc does; crun accepts them.

A container that could replace files of /proc could deceive the runtime, which writes to some of
them to confine the process: its security profiles, for example.
"""

from collections.abc import Iterable
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.containers.record import MountRecord
from palan.host.oci_failures import mount_refused
from palan.host.rootfs import follow_links
from palan.host.syscalls import filesystem_type


__all__ = ["check_proc_mounts"]

_PROC_SUPER_MAGIC: Final = 0x9FA0
_EMULATED: Final = frozenset(
    f"/proc/{name}"
    for name in (
        *("cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime"),
        *("sys/crypto/fips_enabled", "sys/kernel/ns_last_pid"),
    )
)
"""Files that lxcfs and others emulate, on which runc allows mounts."""


def check_proc_mounts(root: int, mounts: Iterable[MountRecord]) -> None:
    """Check that no mount is in /proc or over it; links of the image count. Blocking.

    Args:
        root: a descriptor of the container's root file system.
        mounts: the mounts of the container.

    Raises:
        InvalidParameter: in the words of dockerd and runc.
    """
    for mount in mounts:
        place = follow_links(root, mount.destination)
        if place in _EMULATED or not f"{place}/".startswith("/proc/"):
            continue
        reason = f'"{place}" cannot be mounted because it is '
        if place != "/proc":
            reason += "inside /proc"
        elif mount.kind != "tmpfs" and filesystem_type(mount.source) == _PROC_SUPER_MAGIC:
            continue
        else:
            reason += "not of type proc"
        source = "tmpfs" if mount.kind == "tmpfs" else mount.source
        raise InvalidParameter(mount_refused(source, mount.destination, reason))
