"""Mounts: create, bind, list, remove (mount(2), ``/proc/self/mountinfo``)."""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import syscalls


__all__ = [
    "MOUNT_ROOT",
    "MountInfo",
    "bind",
    "ensure_shared",
    "is_mount_point",
    "make_nodev",
    "make_private",
    "make_readonly",
    "make_shared",
    "make_slave",
    "mount",
    "mount_flags",
    "mount_with_options",
    "mountinfo",
    "parse_mountinfo",
    "unmount",
    "unmount_below",
]

_ESCAPE = re.compile(r"\\([0-7]{3})")
MOUNT_ROOT: Final = 0x2000  # STATX_ATTR_MOUNT_ROOT, Linux 5.8

_PROPAGATION: Final = {
    "private": syscalls.MS_PRIVATE,
    "rprivate": syscalls.MS_PRIVATE | syscalls.MS_REC,
    "shared": syscalls.MS_SHARED,
    "rshared": syscalls.MS_SHARED | syscalls.MS_REC,
    "slave": syscalls.MS_SLAVE,
    "rslave": syscalls.MS_SLAVE | syscalls.MS_REC,
    "unbindable": syscalls.MS_UNBINDABLE,
    "runbindable": syscalls.MS_UNBINDABLE | syscalls.MS_REC,
}

_RESTRICTIONS: Final = {
    os.ST_RDONLY: "ro",
    os.ST_NOSUID: "nosuid",
    os.ST_NODEV: "nodev",
    os.ST_NOEXEC: "noexec",
}

# Options of mount(8) that are flags of mount(2).
_FLAGS: Final = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "sync": 0x10,
    "remount": syscalls.MS_REMOUNT,
    "mand": 0x40,
    "dirsync": 0x80,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "bind": syscalls.MS_BIND,
    "rbind": syscalls.MS_BIND | syscalls.MS_REC,
    "relatime": syscalls.MS_RELATIME,
    "strictatime": 1 << 24,
}
_NO_FLAGS: Final = {
    "rw": syscalls.MS_RDONLY,
    "suid": syscalls.MS_NOSUID,
    "dev": syscalls.MS_NODEV,
    "exec": syscalls.MS_NOEXEC,
    "async": 0x10,
    "nomand": 0x40,
    "atime": 0x400,
    "diratime": 0x800,
    "norelatime": syscalls.MS_RELATIME,
    "nostrictatime": 1 << 24,
    "defaults": 0,
}

# Flags of a mount that remounting would clear unless they are given again.
_REMOUNT_FLAGS: Final = {
    os.ST_RDONLY: syscalls.MS_RDONLY,
    os.ST_NOSUID: syscalls.MS_NOSUID,
    os.ST_NODEV: syscalls.MS_NODEV,
    os.ST_NOEXEC: syscalls.MS_NOEXEC,
    os.ST_RELATIME: syscalls.MS_RELATIME,
    os.ST_NOATIME: 0x400,
    os.ST_NODIRATIME: 0x800,
}


@dataclass(frozen=True, slots=True)
class MountInfo:
    """A line of ``/proc/<pid>/mountinfo`` (proc(5))."""

    id: int
    parent: int
    device: str
    """``major:minor``."""
    root: str
    """The part of the file system that is mounted; for a bind mount, the path within it."""
    mount_point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    """Such as ``shared:7`` or ``master:3``; empty for a private mount."""
    fstype: str
    source: str
    super_options: tuple[str, ...]

    @property
    def shared(self) -> bool:
        """Whether mounts below it propagate to its peers."""
        return any(field.startswith("shared:") for field in self.propagation)


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def parse_mountinfo(text: str) -> list[MountInfo]:
    """Parse the contents of a mountinfo file."""
    found = []
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) < 9:
            continue
        dash = fields.index("-", 6)
        fstype, source, super_options = fields[dash + 1 : dash + 4]
        found.append(
            MountInfo(
                id=int(fields[0]),
                parent=int(fields[1]),
                device=fields[2],
                root=_unescape(fields[3]),
                mount_point=_unescape(fields[4]),
                options=tuple(fields[5].split(",")),
                propagation=tuple(fields[6:dash]),
                fstype=_unescape(fstype),
                source=_unescape(source),
                super_options=tuple(_unescape(super_options).split(",")),
            )
        )
    return found


def mountinfo(pid: int | str = "thread-self") -> list[MountInfo]:
    """Return all mounts that a process sees, by default the calling thread; parents first."""
    # Decoded by fsdecode() to support any path; the escapes are all ASCII.
    data = Path(f"/proc/{pid}/mountinfo").read_bytes()
    return parse_mountinfo(os.fsdecode(data))


def mount(
    source: str | Path | None,
    target: str | Path,
    fstype: str,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Mount a file system of type ``fstype`` at ``target``."""
    syscalls.mount(source, target, fstype, flags, data)


def mount_flags(path: str | Path) -> tuple[str, ...]:
    """Return the restrictions of the mount that contains ``path``, as options of mount(8)."""
    have = os.statvfs(path).f_flag
    return tuple(word for flag, word in _RESTRICTIONS.items() if have & flag)


def mount_with_options(source: str, target: str | Path, fstype: str, options: str) -> None:
    """Mount like mount(8): ``options`` may be flags, file system options and propagation.

    Args:
        source: a device, a directory to bind, or another source for the file system.
        target: an existing directory.
        fstype: the type of the file system; ignored for a bind mount.
        options: such as ``ro,noexec,size=1m`` or ``bind``.

    Raises:
        OSError: the mount failed, and nothing stays mounted.
    """
    flags, propagation, data = 0, 0, []
    for option in options.split(","):
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option in _NO_FLAGS:
            flags &= ~_NO_FLAGS[option]
        elif option in _PROPAGATION:
            propagation = _PROPAGATION[option]
        elif option:
            data.append(option)
    syscalls.mount(source, target, fstype, flags, ",".join(data) or None)
    try:
        if propagation:
            syscalls.mount(None, target, None, propagation)
        if flags & syscalls.MS_BIND and flags & syscalls.MS_RDONLY:
            # A bind mount ignores other flags at first.
            syscalls.mount(None, target, None, flags | syscalls.MS_REMOUNT)
    except OSError:
        syscalls.umount2(target, syscalls.MNT_DETACH)
        raise


def bind(
    source: str | Path,
    target: str | Path,
    *,
    readonly: bool = False,
    recursive: bool = True,
    propagation: str | None = None,
) -> None:
    """Bind mount ``source`` at ``target``.

    Args:
        source: a directory or a file.
        target: an existing directory or file, like ``source``.
        readonly: make it read-only; with ``recursive`` including the mounts below, if the
            kernel can do that (Linux 5.12).
        recursive: include the mounts below ``source``.
        propagation: such as ``rprivate`` or ``shared``; None leaves the kernel's default.

    Raises:
        OSError: the mount failed, and nothing stays mounted.
        ValueError: an unknown propagation.
    """
    if propagation is not None and propagation not in _PROPAGATION:
        raise ValueError(f"unknown mount propagation {propagation!r}")
    syscalls.mount(source, target, None, syscalls.MS_BIND | (syscalls.MS_REC if recursive else 0))
    try:
        if readonly:
            make_readonly(target, recursive=recursive)
        if propagation is not None:
            syscalls.mount(None, target, None, _PROPAGATION[propagation])
    except OSError:
        syscalls.umount2(target, syscalls.MNT_DETACH)
        raise


def make_readonly(target: str | Path, *, recursive: bool) -> None:
    """Make the mount at ``target`` read-only; ``recursive`` with all below, if supported."""
    if recursive:
        try:
            syscalls.mount_setattr(target, set_=syscalls.MOUNT_ATTR_RDONLY, recursive=True)
        except OSError as error:
            # ENOSYS: older than 5.12; EPERM: a seccomp filter that does not know the call.
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
        else:
            return
    _add_flag(target, syscalls.MS_RDONLY)


def make_nodev(target: str | Path) -> None:
    """Make device files ineffective on the mount at ``target``: opening one fails."""
    _add_flag(target, syscalls.MS_NODEV)


def _add_flag(target: str | Path, flag: int) -> None:
    have = os.statvfs(target).f_flag
    flags = sum(ours for theirs, ours in _REMOUNT_FLAGS.items() if have & theirs)
    syscalls.mount(None, target, None, flags | flag | syscalls.MS_REMOUNT | syscalls.MS_BIND)


def unmount(target: str | Path, *, lazy: bool = False) -> bool:
    """Unmount the topmost mount at ``target``.

    Args:
        target: the mount point; a symlink is not followed.
        lazy: detach it now, and release it when it is no longer in use.

    Returns:
        False if nothing was mounted there.
    """
    flags = syscalls.UMOUNT_NOFOLLOW | (syscalls.MNT_DETACH if lazy else 0)
    try:
        syscalls.umount2(target, flags)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


def unmount_below(prefix: str | Path, *, mounts: Iterable[MountInfo] | None = None) -> list[str]:
    """Detach all mounts at or below a directory, the latest first.

    Args:
        prefix: an absolute path without symlinks.
        mounts: a result of :func:`mountinfo`, to save another call.

    Returns:
        The mount points that were detached.
    """
    top = str(prefix).rstrip("/")
    below = top + "/"
    points = [
        entry.mount_point
        for entry in (mountinfo() if mounts is None else mounts)
        if entry.mount_point == top or entry.mount_point.startswith(below)
    ]
    return [point for point in reversed(points) if unmount(point, lazy=True)]


def _setter(flag: int, word: str) -> Callable[..., None]:
    def change(target: str | Path, *, recursive: bool = False) -> None:
        syscalls.mount(None, target, None, flag | (syscalls.MS_REC if recursive else 0))

    change.__doc__ = f"Make the mount at ``target`` {word}, with ``recursive`` all below as well."
    return change


make_private = _setter(syscalls.MS_PRIVATE, "private")
make_shared = _setter(syscalls.MS_SHARED, "shared")
make_slave = _setter(syscalls.MS_SLAVE, "a slave")


def ensure_shared(directory: str | Path) -> None:
    """Make ``directory`` a shared mount point, so that unmounting below it propagates.

    Otherwise a process in a copy of our mount namespace (see :mod:`palan.host.spawn`) would
    keep what we unmount for as long as it runs.
    """
    path = os.path.realpath(directory)
    entries = [entry for entry in mountinfo() if entry.mount_point == path]
    if not entries:
        bind(path, path, recursive=False)
    if not entries or not entries[-1].shared:
        make_shared(path)


def is_mount_point(path: str | Path) -> bool:
    """Whether ``path`` is a mount point, including bind mounts within a file system."""
    attributes = meaningful = 0
    with contextlib.suppress(PermissionError):
        try:
            attributes, meaningful = syscalls.statx_attributes(path)
        except FileNotFoundError:
            return False
    if meaningful & MOUNT_ROOT:
        return bool(attributes & MOUNT_ROOT)
    absolute = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow a final symlink
    return any(entry.mount_point == absolute for entry in mountinfo())
