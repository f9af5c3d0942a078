"""A container's root file system with its volumes, for one thread and what that starts.

While a container runs, only the runtime's mount namespace has all of it together; while
it does not run, nothing has.  Here a thread makes a namespace of its own and puts the
same together in it, whether the container runs or not.  Nobody else sees that, and it
vanishes with the thread and its children, however they end: there is nothing to undo,
and nothing for a crash to leave behind.

What is mounted for a running container's processes only (/proc, /dev, tmpfs) is not
there, as with dockerd.
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
# The new mount calls are unknown to the kernel, or to a filter in front of it.
_UNKNOWN: Final = (errno.ENOSYS, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Bind:
    """Something of the host that the container has.

    Attributes:
        source: absolute path on the host, a directory or a file.
        destination: absolute path in the container.
        recursive: with what is mounted below the source.
        read_only: whether it cannot be written there.
        read_only_recursive: whether that goes for what is mounted below, too: if possible,
            never, or for sure.
    """

    source: str
    destination: str
    recursive: bool = True
    read_only: bool = False
    read_only_recursive: Literal["possible", "never", "required"] = "possible"


@dataclass(frozen=True, slots=True)
class RootView:
    """What to put together, and where.

    Attributes:
        place: an empty directory, which may be the same for all; :attr:`root` is below it.
        prepare: called with the namespace entered and something writable mounted at
            ``place``, to make sources of binds there.
        mounted: where the root file system is mounted already; None mounts the layers.
        lowers: layers that are only read, the topmost first.
        upper: the directory that takes changes.
        work: what an overlay needs beside it.
        binds: the rest, outer ones first.
        read_only: whether the root file system itself cannot be written.
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
        """Where the root directory is seen."""
        return self.place / "root"

    @contextlib.contextmanager
    def entered(self) -> Iterator[int]:
        """Have the calling thread see all of it at :attr:`root`.

        The thread must be one's own, and end soon after (see
        :func:`palan.host.namespaces.run_in_thread`): it stays in its namespace.

        Yields:
            a descriptor of the root directory.

        Raises:
            OSError: something can't be mounted; ``filename`` says what.
        """
        syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
        # What the host unmounts goes from here, too; what is mounted here stays here.
        mounts.make_slave("/", recursive=True)
        mounts.mount("view", self.place, "tmpfs", _SAFE, "mode=700,size=1m")
        self.root.mkdir()
        self.prepare()
        if self.mounted is not None:
            mounts.bind(self.mounted, self.root, recursive=False, propagation="private")
        else:
            mount_overlay(self.lowers, self.upper, self.work, self.root)
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
    """Where to bind, made if it is missing, as a descriptor: no link can be put in its place."""
    directory = stat.S_ISDIR(os.stat(bind.source).st_mode)  # noqa: PTH116 - a string is at hand
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
        if bind.read_only:
            syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_RDONLY, recursive=below)
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def _attach_by_path(bind: Bind, target: int, *, below: bool) -> None:
    """As kernels before 5.12 can: nothing but the mount itself goes by descriptor."""
    here = f"/proc/self/fd/{target}"
    mounts.bind(bind.source, here, recursive=bind.recursive)
    place = os.readlink(here)  # noqa: PTH115 - a string is at hand
    mounts.make_private(place, recursive=bind.recursive)
    if bind.read_only:
        mounts.make_readonly(place, recursive=below)
