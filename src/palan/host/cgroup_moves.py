"""Being ready for a process to be moved between cgroups, which is what a container begins with.

The kernel must not fork or end the processes of a group that is being moved.  The lock for
that is made so that it costs nothing where there are no moves; the first move after a while
therefore waits until every processor has taken notice: 8 to 15 ms, half the time that a
runtime takes to make a container.  For about as long afterwards moves take no time at all.

So a thread moves the engine to where it already is when a container's start begins.  That
has no effect but this one; when the runtime comes to its own moves, a few milliseconds
later, most of the wait is over.  (The mount option ``favordynmods`` does away with the wait
for good, but for everybody on the machine and at a cost for each fork.)
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from palan.host.cgroups import Cgroups, Layout


__all__ = ["CgroupMoves"]

_CALLER: Final = b"0"
"""Means whoever writes it."""


class CgroupMoves:
    """Where this process can be moved to without effect.

    Args:
        cgroups: the machine's.
        membership: the file that tells this process's cgroups.
    """

    def __init__(self, cgroups: Cgroups, membership: Path = Path("/proc/self/cgroup")) -> None:
        self._cgroups = cgroups
        self._membership = membership

    def expect(self) -> None:
        """Have the kernel be ready for a move.  Blocking: up to about 15 ms, without work."""
        with contextlib.suppress(OSError):  # then the move itself will take longer
            own = self._own()
            if own is None:
                return
            fd = os.open(own / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, _CALLER)
            finally:
                os.close(fd)

    def _own(self) -> Path | None:
        """This process's cgroup; in any tree, as they share the lock."""
        for line in self._membership.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if ".." in path.split("/"):
                continue  # outside of our view
            if not names and self._cgroups.layout is Layout.V2:
                return self._cgroups.root / path.lstrip("/")
            tree = self._cgroups.root / names.removeprefix("name=")
            if names and tree in self._cgroups.trees:
                return tree / path.lstrip("/")
        return None
