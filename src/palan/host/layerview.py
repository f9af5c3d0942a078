"""Layers seen as one tree, for one thread and what that starts.

The thread makes a mount namespace of its own, so there is nothing to undo, and nothing for a
crash to leave behind (like :mod:`palan.host.rootview`, which is for containers).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import mounts, syscalls
from palan.host.overlay import mount_overlay, plain_options


__all__ = ["Layers", "seen"]

_SAFE: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers to be seen as one.

    Attributes:
        lowers: those that are only read, the topmost first; at least one.
        upper: the directory that takes changes; None if nothing is changed.
        work: what an overlay needs beside it.
    """

    lowers: Sequence[Path]
    upper: Path | None = None
    work: Path | None = None


@contextlib.contextmanager
def seen(place: Path, *trees: Layers) -> Iterator[list[Path]]:
    """Have the calling thread see trees.

    The thread must be one's own, and end soon after (see
    :func:`palan.host.namespaces.run_in_thread`): it stays in its namespace.

    Args:
        place: an empty directory, which may be the same for all.
        trees: what to see.

    Yields:
        the root directories, in the order of ``trees``.

    Raises:
        OSError: something can't be mounted.
    """
    syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
    mounts.make_slave("/", recursive=True)
    mounts.mount("view", place, "tmpfs", _SAFE, "mode=700,size=1m")
    roots = []
    for number, tree in enumerate(trees):
        root = place / str(number)
        root.mkdir()
        # What is changed must lie in the upper directory whole.
        mount_overlay(tree.lowers, tree.upper, tree.work, root, options=plain_options())
        roots.append(root)
    yield roots
