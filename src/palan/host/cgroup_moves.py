"""Preparation of the kernel for moving a process between cgroups, to shorten container starts.

The kernel must not fork or end processes of a thread group while it is being moved. The lock
for that costs nothing while there are no moves, so the first move after a pause has to wait for a
grace period on all processors: 8 to 15 ms, half the time in which a runtime creates a container.
For about as long afterwards, moves take no time.

So a thread writes the engine's own cgroup to ``cgroup.procs`` when a container's start begins.
That changes nothing but starts the grace period; when the runtime moves its process a few
milliseconds later, most of the wait is over. (The mount option ``favordynmods`` avoids the wait
altogether, but for the whole machine and at a cost for each fork.)
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from palan.host.cgroups import Cgroups, Layout


__all__ = ["CgroupMoves"]

_CALLER: Final = b"0"
"""In ``cgroup.procs``, 0 stands for the process that writes it."""


class CgroupMoves:
    """Moves this process to the cgroup in which it already is.

    Args:
        cgroups: the cgroup hierarchies of the machine.
        membership: the file with this process's cgroups.
    """

    def __init__(self, cgroups: Cgroups, membership: Path = Path("/proc/self/cgroup")) -> None:
        self._cgroups = cgroups
        self._membership = membership

    def prepare(self) -> None:
        """Start the grace period for a move. Blocks for up to about 15 ms without using the CPU."""
        with contextlib.suppress(OSError):  # the runtime's move just takes longer
            own = self._own()
            if own is None:
                return
            fd = os.open(own / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, _CALLER)
            finally:
                os.close(fd)

    def _own(self) -> Path | None:
        """Return this process's cgroup in any hierarchy, as all hierarchies share the lock."""
        for line in self._membership.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if ".." in path.split("/"):
                continue  # outside of this cgroup namespace
            if not names and self._cgroups.layout is Layout.V2:
                return self._cgroups.root / path.lstrip("/")
            tree = self._cgroups.root / names.removeprefix("name=")
            if names and tree in self._cgroups.trees:
                return tree / path.lstrip("/")
        return None
