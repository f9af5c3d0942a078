"""Network namespaces pinned to paths, and functions run inside of namespaces.

Namespaces are a property of threads, so functions here that enter one do so in a new thread,
which ends afterwards; the caller's thread never changes its namespaces.
"""

import contextlib
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from palan.host import mounts, syscalls


__all__ = [
    "create_netns",
    "is_namespace",
    "loopback_up",
    "remove_netns",
    "run_in_netns",
    "run_in_thread",
    "write_sysctls",
]

T = TypeVar("T")

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_NSFS_MAGIC: Final = 0x6E736673


def run_in_thread(function: Callable[[], T], name: str = "palan-namespace") -> T:
    """Call ``function`` in a new thread; return its result or raise its exception."""
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # break the reference cycle through the traceback
    return results[0]


def run_in_netns(netns: str | Path | int, function: Callable[[], T]) -> T:
    """Call ``function`` inside a network namespace.

    Sockets that it opens stay in that namespace and can be used from any thread.

    Args:
        netns: a path such as ``/proc/1/ns/net``, or a descriptor of one.
        function: the function to call.
    """

    def enter() -> T:
        if isinstance(netns, int):
            syscalls.setns(netns, syscalls.CLONE_NEWNET)
        else:
            fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscalls.setns(fd, syscalls.CLONE_NEWNET)
            finally:
                os.close(fd)
        return function()

    return run_in_thread(enter)


def create_netns(
    path: str | Path, *, loopback: bool = True, sysctls: Mapping[str, str] | None = None
) -> None:
    """Create a network namespace that exists as long as it is mounted at ``path``.

    Args:
        path: the file to create as its mount point; its directory must exist.
        loopback: set the loopback interface up.
        sysctls: parameters to write inside, as :func:`write_sysctls` does.

    Raises:
        FileExistsError: ``path`` exists.
        OSError: creation failed, and nothing is left at ``path``.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))

    def create() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        if loopback:
            loopback_up()
        if sysctls:
            write_sysctls(sysctls)
        syscalls.mount("/proc/thread-self/ns/net", path, None, syscalls.MS_BIND)

    try:
        run_in_thread(create)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_netns(path)
        raise


def remove_netns(path: str | Path) -> None:
    """Unmount the namespace at ``path`` and remove the file; tolerates partial and absent ones.

    The kernel destroys it with its interfaces when its last process has ended.
    """
    while mounts.unmount(path, lazy=True):
        pass
    Path(path).unlink(missing_ok=True)


def is_namespace(path: str | Path) -> bool:
    """Whether ``path`` is a namespace, and not just the file that is left of it after a reboot."""
    try:
        return syscalls.filesystem_type(path) == _NSFS_MAGIC
    except OSError:
        return False


def loopback_up() -> None:
    """Set the loopback interface of the calling thread's network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("=H", answer, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _sysctl_path(name: str) -> Path:
    """Return the file of a sysctl; as in sysctl(8), the first ``.`` or ``/`` is the separator."""
    slash, dot = name.find("/"), name.find(".")
    if dot >= 0 and (slash < 0 or dot < slash):
        name = name.translate(str.maketrans("./", "/."))
    if ".." in name.split("/"):
        raise ValueError(f"not a sysctl: {name!r}")
    return Path("/proc/sys") / name.lstrip("/")


def write_sysctls(values: Mapping[str, str]) -> None:
    """Write kernel parameters; those below ``net`` in the calling thread's network namespace.

    Args:
        values: by name, such as ``net.ipv4.ip_forward``.

    Raises:
        OSError: a file could not be written; earlier ones are.
        ValueError: a name that leads out of ``/proc/sys``.
    """
    for name, value in values.items():
        path = _sysctl_path(name)
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        except OSError as error:
            error.filename = str(path)
            raise
        finally:
            os.close(fd)
