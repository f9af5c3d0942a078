"""Notices that a cgroup has run out of memory, in cgroup v1 and v2.

In v1 the kernel signals an eventfd(2) that was registered in ``cgroup.event_control``, before it
kills a process, and also if it only stops processes (``oom_kill_disable``); it signals it once
more when the cgroup is removed. In v2 the file ``memory.events`` changes, which inotify(7) shows.
Both have a counter of the processes that were killed, those of descendants included.
"""

import os
from pathlib import Path
from typing import Final

from palan.host.cgroups import read_keyed


__all__ = ["EVENTS", "count_kills", "register_eventfd", "take_signals"]

EVENTS: Final = "memory.events"
"""The file of a v2 cgroup that changes when it runs out of memory."""

_CONTROL: Final = "memory.oom_control"


def count_kills(cgroup: Path) -> int:
    """Return the number of processes of a cgroup that were killed for its memory so far."""
    for name in (EVENTS, _CONTROL):
        if (found := read_keyed(cgroup / name)) and "oom_kill" in found:
            return found["oom_kill"]
    return 0


def register_eventfd(cgroup: Path) -> int:
    """Return a new eventfd that is signalled when a v1 cgroup runs out of memory.

    It is signalled at once if processes wait for memory because they are not to be killed.

    Raises:
        OSError: the cgroup is gone, or it is not one of v1.
    """
    control = os.open(cgroup / _CONTROL, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with (cgroup / "cgroup.event_control").open("w") as file:
                file.write(f"{fd} {control}")
        except BaseException:
            os.close(fd)
            raise
    finally:
        os.close(control)
    return fd


def take_signals(fd: int) -> bool:
    """Whether an eventfd was signalled since the last call."""
    try:
        return os.eventfd_read(fd) > 0
    except BlockingIOError:
        return False
