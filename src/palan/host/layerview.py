"""Layers mounted as one tree, visible to one thread and the processes it starts.

The thread unshares its mount namespace, so nothing has to be unmounted, and a crash leaves
nothing behind. (:mod:`palan.host.rootview` does the same for containers.)
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import mounts, syscalls
from palan.host.overlay import mount_overlay, plain_options


__all__ = ["Layers", "mounted_layers"]

_SAFE: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers to be mounted as one tree.

    Attributes:
        lowers: read-only layers, topmost first; at least one.
        upper: the writable directory; None for a read-only mount.
        work: the work directory that the overlay needs with ``upper``.
    """

    lowers: Sequence[Path]
    upper: Path | None = None
    work: Path | None = None


@contextlib.contextmanager
def mounted_layers(place: Path, *trees: Layers) -> Iterator[list[Path]]:
    """Mount trees that only the calling thread sees.

    The thread stays in its own mount namespace, so it must be a dedicated thread that ends soon
    afterwards (see :func:`palan.host.namespaces.run_in_thread`).

    Args:
        place: an empty directory, which several calls may share.
        trees: the trees to mount.

    Yields:
        The root directories, in the order of ``trees``.

    Raises:
        OSError: a mount failed.
    """
    syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
    mounts.make_slave("/", recursive=True)
    mounts.mount("view", place, "tmpfs", _SAFE, "mode=700,size=1m")
    roots = []
    for number, tree in enumerate(trees):
        root = place / str(number)
        root.mkdir()
        # Without metacopy and redirects, so that changed files are complete in the upper directory.
        mount_overlay(tree.lowers, tree.upper, tree.work, root, options=plain_options())
        roots.append(root)
    yield roots
