"""The host's devices that containers use or are limited on, looked up at start."""

import errno
import os
import stat
from collections.abc import Iterator

from palan.api.containers import DeviceMapping, Resources
from palan.api.errors import InvalidParameter
from palan.engine.oci.devices import DeviceNode
from palan.engine.oci.resources import block_device_paths


__all__ = ["all_devices", "asked_devices", "block_devices"]

_OWN_IN_DEV = {"pts", "shm", "fd", "mqueue", "lxc", "lxd-fuse", ".lxc", ".lxd-mounts", ".udev"}


def asked_devices(mapping: DeviceMapping) -> list[DeviceNode]:
    """Return a device of ``HostConfig.Devices``, or all devices below it if it is a directory.

    Raises:
        InvalidParameter: it does not exist; in dockerd's words.
    """
    source = mapping.path_on_host
    path = mapping.path_in_container or source
    permissions = mapping.cgroup_permissions or "rwm"
    try:
        info = _stat(source)
    except OSError as error:
        raise _unusable(source, (error.strerror or "").lower()) from None
    if not stat.S_ISDIR(info.st_mode):
        return [_node(path, info, permissions, source)]
    found = [
        _node(os.path.join(path, os.path.relpath(below, source)), info, permissions, below)  # noqa: PTH118 - as below
        for below, info in _devices_below(source)
    ]
    if not found:
        raise _unusable(source, "no devices in directory")
    return found


def all_devices() -> list[DeviceNode]:
    """Return all device nodes of the host's /dev, for a privileged container."""
    return [
        _node(path, info, "rwm", path)
        for path, info in _devices_below("/dev")
        if os.path.basename(path) != "console"  # noqa: PTH119 - thousands of times
    ]


def block_devices(resources: Resources) -> dict[str, tuple[int, int]]:
    """Return the major and minor numbers of the block devices that limits name, by path.

    Raises:
        InvalidParameter: one does not exist, or is not a block device.
    """
    found = {}
    for path in block_device_paths(resources):
        try:
            info = _stat(path)
        except OSError as error:
            raise InvalidParameter(f"stat {path}: {(error.strerror or '').lower()}") from None
        if not stat.S_ISBLK(info.st_mode):
            raise InvalidParameter(f"{path} is not a block device: its I/O cannot be limited")
        found[path] = (os.major(info.st_rdev), os.minor(info.st_rdev))
    return found


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - one call
    except ValueError:  # there is a NUL in the path
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None


def _devices_below(top: str) -> Iterator[tuple[str, os.stat_result]]:
    for directory, names, files in os.walk(top):
        if directory == "/dev":
            names[:] = [name for name in names if name not in _OWN_IN_DEV]
        for name in files:
            path = os.path.join(directory, name)  # noqa: PTH118 - thousands of times
            try:
                info = os.lstat(path)
            except OSError:
                continue  # removed meanwhile
            if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
                yield path, info


def _node(path: str, info: os.stat_result, permissions: str, host_path: str) -> DeviceNode:
    if stat.S_ISCHR(info.st_mode):
        kind = "c"
    elif stat.S_ISBLK(info.st_mode):
        kind = "b"
    else:
        raise _unusable(host_path, "not a device node")
    return DeviceNode(
        path=path,
        kind=kind,
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        permissions=permissions,
        host_path=host_path,
    )


def _unusable(path: str, why: str) -> InvalidParameter:
    return InvalidParameter(
        f'error gathering device information while adding custom device "{path}": {why}'
    )
