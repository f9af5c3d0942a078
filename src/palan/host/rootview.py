"""A container's root file system with its volumes, mounted for one thread and its children.

While a container is running, only its own mount namespace has all mounts together; otherwise
no namespace has. Here a thread unshares its mount namespace and creates the same mounts in it,
whether the container is running or not. They are invisible to other processes, and disappear with
the thread and its children, however they end: nothing has to be unmounted, and a crash leaves
nothing behind.

Mounts that a runtime makes for the processes of the container (/proc, /dev, tmpfs) are not
included, as with dockerd.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from palan.host import mounts, syscalls
from palan.host.overlay import mount_overlay


__all__ = ["Bind", "RootView"]

_PRIVATE: Final = syscalls.MS_PRIVATE
_SAFE: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
# Errors if the kernel, or a seccomp filter, does not support the new mount calls.
_UNKNOWN: Final = (errno.ENOSYS, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Bind:
    """A path of the host that is mounted in the container.

    Attributes:
        source: absolute path on the host, a directory or a file.
        destination: absolute path in the container.
        recursive: include the mounts below the source.
        read_only: mount it read-only.
        read_only_recursive: whether the mounts below become read-only, too: if possible, never,
            or in any case.
    """

    source: str
    destination: str
    recursive: bool = True
    read_only: bool = False
    read_only_recursive: Literal["possible", "never", "required"] = "possible"


@dataclass(frozen=True, slots=True)
class RootView:
    """The mounts of a root view.

    Attributes:
        place: an empty directory, which several views may share; :attr:`root` is below it.
        prepare: called inside the namespace, with a writable tmpfs mounted at ``place``, to
            create sources of binds there.
        mounted: a directory where the root file system is mounted already; None to mount the
            layers.
        lowers: read-only layers, topmost first.
        upper: the writable directory.
        work: the work directory that the overlay needs with ``upper``.
        binds: the other mounts, outer ones first.
        read_only: mount the root file system itself read-only.
    """

    place: Path
    prepare: Callable[[], None] = lambda: None
    mounted: Path | None = None
    lowers: Sequence[Path] = ()
    upper: Path | None = None
    work: Path | None = None
    binds: Sequence[Bind] = ()
    read_only: bool = False

    @property
    def root(self) -> Path:
        """The root directory of the view."""
        return self.place / "root"

    @contextlib.contextmanager
    def entered(self) -> Iterator[int]:
        """Mount the view at :attr:`root` for the calling thread.

        The thread stays in its own mount namespace, so it must be a dedicated thread that ends soon
        afterwards (see :func:`palan.host.namespaces.run_in_thread`).

        Yields:
            A descriptor of the root directory.

        Raises:
            OSError: a mount failed; ``filename`` names it.
        """
        syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
        # Unmounts on the host propagate to here; mounts made here stay here.
        mounts.make_slave("/", recursive=True)
        mounts.mount("view", self.place, "tmpfs", _SAFE, "mode=700,size=1m")
        self.root.mkdir()
        self.prepare()
        if self.mounted is not None:
            mounts.bind(self.mounted, self.root, recursive=False, propagation="private")
        else:
            mount_overlay(self.lowers, self.upper, self.work, self.root)
        # The container may put a device in the place of a file that is about to be opened.
        mounts.make_nodev(self.root)
        root = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            targets = [(bind, _target(root, bind)) for bind in self.binds]
            try:
                if self.read_only:
                    mounts.make_readonly(self.root, recursive=False)
                for bind, target in targets:
                    _attach(bind, target)
            finally:
                for _, target in targets:
                    os.close(target)
            yield root
        finally:
            os.close(root)


def _target(root: int, bind: Bind) -> int:
    """Open the mount point, creating it if it is missing; a descriptor cannot be replaced."""
    directory = stat.S_ISDIR(os.stat(bind.source).st_mode)  # noqa: PTH116 - paths are strings here
    parts = [part for part in bind.destination.split("/") if part]
    parent = os.dup(root)
    try:
        for number in range(1, len(parts) + 1):
            there = _open_or_make(
                root,
                "/".join(parts[:number]),
                parent,
                directory=directory or number < len(parts),
            )
            os.close(parent)
            parent = there
    except BaseException:
        os.close(parent)
        raise
    return parent


def _open_or_make(root: int, path: str, parent: int, *, directory: bool) -> int:
    def look() -> int:
        return syscalls.openat2(root, path, os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)

    with contextlib.suppress(FileNotFoundError):
        return look()
    name = path.rpartition("/")[2]
    with contextlib.suppress(FileExistsError):
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o755, dir_fd=parent))
    return look()


def _attach(bind: Bind, target: int) -> None:
    below = bind.recursive and bind.read_only_recursive != "never"
    try:
        tree = syscalls.open_tree(bind.source, recursive=bind.recursive)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        _attach_by_path(bind, target, below=below)
        return
    try:
        syscalls.mount_setattr(tree, propagation=_PRIVATE, recursive=bind.recursive)
        syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_NODEV, recursive=bind.recursive)
        if bind.read_only:
            syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_RDONLY, recursive=below)
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def _attach_by_path(bind: Bind, target: int, *, below: bool) -> None:
    """Bind mount as before Linux 5.12: only the first mount can use the descriptor."""
    here = f"/proc/self/fd/{target}"
    mounts.bind(bind.source, here, recursive=bind.recursive)
    place = os.readlink(here)  # noqa: PTH115 - paths are strings here
    mounts.make_private(place, recursive=bind.recursive)
    mounts.make_nodev(place)
    if bind.read_only:
        mounts.make_readonly(place, recursive=below)
