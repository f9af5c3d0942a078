# ruff: noqa: D402 - "mount(2)" in a docstring is a manual page, not a signature
"""System calls that are missing in Python 3.11, called through ctypes.

Every function raises :class:`OSError` with the error number and, if a path was given, the path.
ctypes releases the interpreter lock during a call, so a slow mount blocks only the calling
thread.

Calls newer than glibc 2.31 are made by number through ``syscall(2)``; numbers from 424 up are
the same on every architecture.
"""

import ctypes
import os
import struct
import sys
from typing import Final


__all__ = [
    "AT_EMPTY_PATH",
    "AT_FDCWD",
    "AT_RECURSIVE",
    "CLONE_FS",
    "CLONE_NEWCGROUP",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "FSCONFIG_CMD_CREATE",
    "FSCONFIG_SET_FLAG",
    "FSCONFIG_SET_STRING",
    "MNT_DETACH",
    "MOUNT_ATTR_NODEV",
    "MOUNT_ATTR_RDONLY",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_RELATIME",
    "MS_REMOUNT",
    "MS_SHARED",
    "MS_SLAVE",
    "MS_UNBINDABLE",
    "PR_CAPBSET_READ",
    "PR_GET_SECCOMP",
    "PR_SET_CHILD_SUBREAPER",
    "PR_SET_NO_NEW_PRIVS",
    "PR_SET_PDEATHSIG",
    "PR_SET_SECCOMP",
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "RESOLVE_NO_XDEV",
    "UMOUNT_NOFOLLOW",
    "filesystem_type",
    "fsconfig",
    "fsmount",
    "fsopen",
    "inotify_add_watch",
    "inotify_init",
    "inotify_rm_watch",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "openat2",
    "prctl",
    "setns",
    "statx_attributes",
    "umount2",
    "unshare",
]

Path = str | bytes | os.PathLike[str]

# Flags of mount(2)
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_UNBINDABLE: Final = 0x20000
MS_PRIVATE: Final = 0x40000
MS_SLAVE: Final = 0x80000
MS_SHARED: Final = 0x100000
MS_RELATIME: Final = 0x200000

# Flags of umount2(2)
MNT_DETACH: Final = 0x2
UMOUNT_NOFOLLOW: Final = 0x8

# Flags of clone(2), unshare(2) and setns(2)
CLONE_FS: Final = 0x200
CLONE_NEWNS: Final = 0x20000
CLONE_NEWCGROUP: Final = 0x2000000
CLONE_NEWUTS: Final = 0x4000000
CLONE_NEWIPC: Final = 0x8000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# Options of prctl(2)
PR_SET_PDEATHSIG: Final = 1
PR_GET_SECCOMP: Final = 21
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_READ: Final = 23
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

# The "new" mount calls
AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
FSOPEN_CLOEXEC: Final = 0x1
FSMOUNT_CLOEXEC: Final = 0x1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
OPEN_TREE_CLONE: Final = 0x1
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NODEV: Final = 0x4

# Flags of openat2(2)
RESOLVE_NO_XDEV: Final = 0x1
RESOLVE_NO_MAGICLINKS: Final = 0x2
RESOLVE_NO_SYMLINKS: Final = 0x4
RESOLVE_BENEATH: Final = 0x8
RESOLVE_IN_ROOT: Final = 0x10

_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_OPENAT2: Final = 437
_SYS_MOUNT_SETATTR: Final = 442
_SYS_KEYCTL: Final = {
    "x86_64": 250,
    "aarch64": 219,
    "riscv64": 219,
    "loongarch64": 219,
    "ppc64le": 271,
    "s390x": 280,
}
"""By machine; newer calls have one number on all machines."""

_KEYCTL_JOIN_SESSION_KEYRING: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)
_text = ctypes.c_char_p
_int = ctypes.c_int
_long = ctypes.c_long
_ulong = ctypes.c_ulong

_libc.mount.argtypes = (_text, _text, _text, _ulong, _text)
_libc.umount2.argtypes = (_text, _int)
_libc.unshare.argtypes = (_int,)
_libc.setns.argtypes = (_int, _int)
_libc.prctl.argtypes = (_int, _ulong, _ulong, _ulong, _ulong)
_libc.statfs.argtypes = (_text, ctypes.c_void_p)
_libc.inotify_init1.argtypes = (_int,)
_libc.inotify_add_watch.argtypes = (_int, _text, ctypes.c_uint32)
_libc.inotify_rm_watch.argtypes = (_int, _int)
_libc.syscall.restype = _long
_statx = getattr(_libc, "statx", None)
if _statx is not None:
    _statx.argtypes = (_int, _text, _int, ctypes.c_uint, ctypes.c_void_p)


def _failure(*paths: Path | None) -> OSError:
    """Return the error of this thread's last call, with ``paths``."""
    number = ctypes.get_errno()
    names = [None if path is None else os.fsdecode(path) for path in paths]
    if len(names) == 2:
        return OSError(number, os.strerror(number), names[0], None, names[1])
    return OSError(number, os.strerror(number), *names)


def _encode(path: Path | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def mount(
    source: Path | None,
    target: Path,
    fstype: str | None = None,
    flags: int = 0,
    data: str | bytes | None = None,
) -> None:
    """Call mount(2); the kernel accepts at most a page of ``data``."""
    options = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    kind = None if fstype is None else fstype.encode()
    if _libc.mount(_encode(source), _encode(target), kind, flags, options) < 0:
        raise _failure(source, target)


def umount2(target: Path, flags: int = 0) -> None:
    """Call umount2(2)."""
    if _libc.umount2(_encode(target), flags) < 0:
        raise _failure(target)


def unshare(flags: int) -> None:
    """Call unshare(2), which affects the calling thread only."""
    if _libc.unshare(flags) < 0:
        raise _failure()


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace of the descriptor ``fd`` (setns(2))."""
    if _libc.setns(fd, kind) < 0:
        raise _failure()


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Call prctl(2), for options with numeric arguments."""
    result: int = _libc.prctl(option, arg2, arg3, arg4, arg5)
    if result < 0:
        raise _failure()
    return result


def join_new_session_keyring() -> None:
    """Give the calling thread, and programs that it starts, a new session keyring (keyctl(2))."""
    number = _SYS_KEYCTL.get(os.uname().machine, -1) if ctypes.sizeof(ctypes.c_void_p) == 8 else -1
    if _syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None) < 0:
        raise _failure()


def _syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    # A variadic function would pass a plain int as a 32-bit number.
    passed = [_long(item) if isinstance(item, int) else item for item in arguments]
    result: int = _libc.syscall(_long(number), *passed)
    return result


def openat2(dirfd: int, path: Path, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open a path with openat2(2); ``resolve`` (``RESOLVE_*``) limits how it is resolved.

    Returns:
        A file descriptor that is closed on exec.
    """
    how = ctypes.create_string_buffer(struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve), 24)
    fd = _syscall(_SYS_OPENAT2, dirfd, _encode(path), how, 24)
    if fd < 0:
        raise _failure(path)
    return fd


def fsopen(fstype: str) -> int:
    """Return a context for configuring a new file system (fsopen(2))."""
    fd = _syscall(_SYS_FSOPEN, fstype.encode(), FSOPEN_CLOEXEC)
    if fd < 0:
        raise _failure()
    return fd


def fsconfig(fd: int, command: int, key: str | None = None, value: Path | None = None) -> None:
    """Call fsconfig(2); the kernel accepts string values of up to 255 bytes."""
    name = None if key is None else key.encode()
    if _syscall(_SYS_FSCONFIG, fd, command, name, _encode(value), 0) < 0:
        raise _failure(value)


def fsmount(fd: int, attributes: int = 0) -> int:
    """Return the descriptor of a mount that is not attached yet (fsmount(2))."""
    mounted = _syscall(_SYS_FSMOUNT, fd, FSMOUNT_CLOEXEC, attributes)
    if mounted < 0:
        raise _failure()
    return mounted


def open_tree(path: Path, *, recursive: bool = False) -> int:
    """Return a copy of the mount at ``path`` that is not attached yet (open_tree(2), Linux 5.2).

    Args:
        path: a directory or file; it need not be a mount point.
        recursive: include the mounts below.

    Returns:
        A descriptor that is closed on exec; closing it removes the copy unless it was attached.
    """
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    fd = _syscall(_SYS_OPEN_TREE, AT_FDCWD, _encode(path), flags)
    if fd < 0:
        raise _failure(path)
    return fd


def move_mount(fd: int, target: Path | int) -> None:
    """Attach the mount ``fd`` at ``target``, a path or a descriptor (move_mount(2))."""
    flags, where, path = MOVE_MOUNT_F_EMPTY_PATH, AT_FDCWD, b""
    if isinstance(target, int):
        where, flags = target, flags | MOVE_MOUNT_T_EMPTY_PATH
    else:
        path = os.fsencode(target)
    if _syscall(_SYS_MOVE_MOUNT, fd, b"", where, path, flags) < 0:
        raise _failure(path or None)


def mount_setattr(
    target: Path | int,
    *,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    recursive: bool = False,
) -> None:
    """Change attributes of a mount, or of all below as well (mount_setattr(2), Linux 5.12)."""
    attributes = struct.pack("=QQQQ", set_, clear, propagation, 0)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    flags, where, path = AT_RECURSIVE if recursive else 0, AT_FDCWD, b""
    if isinstance(target, int):
        where, flags = target, flags | AT_EMPTY_PATH
    else:
        path = os.fsencode(target)
    if _syscall(_SYS_MOUNT_SETATTR, where, path, flags, buffer, 32) < 0:
        raise _failure(path or None)


def filesystem_type(path: Path) -> int:
    """Return the magic number of the file system of ``path`` (``f_type`` of statfs(2))."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(_encode(path), buffer) < 0:
        raise _failure(path)
    # f_type comes first and is a long, except on s390x, where it is an int.
    size = 4 if os.uname().machine == "s390x" else ctypes.sizeof(_long)
    return int.from_bytes(buffer.raw[:size], sys.byteorder) & 0xFFFFFFFF


def statx_attributes(path: Path) -> tuple[int, int]:
    """Return ``stx_attributes`` and ``stx_attributes_mask`` of a path; follows no symlink.

    Both are 0 if libc has no statx(2).
    """
    if _statx is None:
        return 0, 0
    buffer = ctypes.create_string_buffer(256)
    at_symlink_nofollow = 0x100
    if _statx(AT_FDCWD, _encode(path), at_symlink_nofollow, 0, buffer) < 0:
        raise _failure(path)
    (attributes,) = struct.unpack_from("=Q", buffer, 8)
    (meaningful,) = struct.unpack_from("=Q", buffer, 56)
    return attributes, meaningful


def inotify_init() -> int:
    """Call inotify_init1(2) for a descriptor that is non-blocking and closed on exec."""
    fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _failure()
    return fd


def inotify_add_watch(fd: int, path: Path, mask: int) -> int:
    """Call inotify_add_watch(2)."""
    watch: int = _libc.inotify_add_watch(fd, _encode(path), mask)
    if watch < 0:
        raise _failure(path)
    return watch


def inotify_rm_watch(fd: int, watch: int) -> None:
    """Call inotify_rm_watch(2)."""
    if _libc.inotify_rm_watch(fd, watch) < 0:
        raise _failure()
