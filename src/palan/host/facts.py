"""Facts about the machine, as ``docker info`` and ``docker version`` report them."""

import errno
import os
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import syscalls


__all__ = [
    "Facts",
    "apparmor_enabled",
    "filesystem_name",
    "gather",
    "go_architecture",
    "ip_forwarding",
    "os_release",
    "parse_os_release",
    "seccomp_available",
    "selinux_enabled",
]

_GO_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "ppc64": ("ppc64", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
    "loongarch64": ("loong64", ""),
    "mips64": ("mips64", ""),
}

_FILESYSTEMS: Final = {
    0x61756673: "aufs",
    0x9123683E: "btrfs",
    0x28CD3D45: "cramfs",
    0xF15F: "ecryptfs",
    0xE0F5E1E2: "erofs",
    0xEF53: "extfs",
    0xF2F52010: "f2fs",
    0x65735546: "fuse",
    0x47504653: "gpfs",
    0x72B6: "jffs2",
    0x3153464A: "jfs",
    0x6969: "nfs",
    0x794C7630: "overlayfs",
    0x858458F6: "ramfs",
    0x52654973: "reiserfs",
    0x517B: "smbfs",
    0xFF534D42: "cifs",
    0x73717368: "squashfs",
    0x01021994: "tmpfs",
    0xA501FCF5: "vxfs",
    0x58465342: "xfs",
    0x2FC12FC1: "zfs",
}

_SECCOMP_MODE_FILTER: Final = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the machine.

    Attributes:
        kernel_version: such as ``6.1.0-18-amd64``.
        operating_system: name of the distribution, ``Debian GNU/Linux 12 (bookworm)``.
        os_version: version of the distribution, ``12``.
        architecture: in the kernel's terms, ``x86_64``.
        go_architecture: in the terms of images and platforms, ``amd64``.
        go_variant: such as ``v7`` with ``arm``; mostly empty.
        ncpu: number of processors that this process may use.
        memory_total: bytes.
        hostname: the host name.
        seccomp: whether system calls can be filtered.
        apparmor: whether AppArmor is enabled.
        selinux: whether SELinux is enabled.
        cgroup_namespaces: whether the kernel has cgroup namespaces.
    """

    kernel_version: str
    operating_system: str
    os_version: str
    architecture: str
    go_architecture: str
    go_variant: str
    ncpu: int
    memory_total: int
    hostname: str
    seccomp: bool
    apparmor: bool
    selinux: bool
    cgroup_namespaces: bool


def go_architecture(machine: str) -> tuple[str, str]:
    """Return Go's name of an architecture and its variant: ``armv7l`` is ``("arm", "v7")``."""
    return _GO_ARCHITECTURES.get(machine, (machine, ""))


def parse_os_release(text: str) -> dict[str, str]:
    """Parse the contents of an os-release(5) file."""
    found = {}
    for raw in text.splitlines():
        line = raw.strip()
        name, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        try:
            found[name] = "".join(shlex.split(value))
        except ValueError:
            found[name] = value  # an unbalanced quote: keep the text
    return found


def os_release() -> dict[str, str]:
    """Return the fields of os-release(5); {} if there is no such file."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            return parse_os_release(Path(path).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return {}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def seccomp_available() -> bool:
    """Whether the kernel can filter system calls with a BPF program."""
    try:
        syscalls.prctl(syscalls.PR_GET_SECCOMP)
        # Without a program, a kernel that supports filters returns EFAULT.
        syscalls.prctl(syscalls.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0)
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def apparmor_enabled() -> bool:
    """Whether AppArmor is enabled."""
    return _read("/sys/module/apparmor/parameters/enabled").startswith("Y")


def selinux_enabled() -> bool:
    """Whether SELinux is enabled, enforcing or permissive."""
    return Path("/sys/fs/selinux/enforce").exists()


def ip_forwarding() -> bool:
    """Whether the machine forwards IPv4 packets between its interfaces."""
    return _read("/proc/sys/net/ipv4/ip_forward") == "1"


def filesystem_name(path: str | Path) -> str:
    """Return the type of the file system of ``path`` in Docker's terms: ``extfs``, ``xfs``.

    Returns:
        ``<unknown>`` for a type without a name.
    """
    return _FILESYSTEMS.get(syscalls.filesystem_type(path), "<unknown>")


def gather() -> Facts:
    """Collect all facts."""
    kernel = os.uname()
    release = os_release()
    architecture, variant = go_architecture(kernel.machine)
    return Facts(
        kernel_version=kernel.release,
        operating_system=release.get("PRETTY_NAME") or release.get("NAME") or "Linux",
        os_version=release.get("VERSION_ID", ""),
        architecture=kernel.machine,
        go_architecture=architecture,
        go_variant=variant,
        ncpu=len(os.sched_getaffinity(0)),
        memory_total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        hostname=socket.gethostname(),
        seccomp=seccomp_available(),
        apparmor=apparmor_enabled(),
        selinux=selinux_enabled(),
        cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
    )
