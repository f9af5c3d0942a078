"""Processes of the host, identified so that a reused pid is not mistaken for them.

A pid is reused after its process was reaped. A process is therefore identified by its pid
together with its start time and the machine's boot id.
"""

import contextlib
import fcntl
import os
import re
import signal
import struct
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final


__all__ = [
    "ProcessStatus",
    "age",
    "boot_id",
    "children",
    "cmdline",
    "descendants",
    "environment",
    "exit_code",
    "is_alive",
    "is_ending",
    "kill",
    "open_pidfd",
    "parse_stat",
    "ppid",
    "start_time",
    "status",
]

_PROC: Final = Path("/proc")
_TICK_NS: Final = 10_000_000
"""USER_HZ is 100 on all machines that Linux runs on."""

# ioctl(2) on a pidfd; the struct's last field is the status as waitpid(2) returns it.
_PIDFD_INFO_SIZE: Final = 64
_PIDFD_INFO_EXIT: Final = 1 << 3
_PIDFD_GET_INFO: Final = 3 << 30 | _PIDFD_INFO_SIZE << 16 | 0xFF << 8 | 11

_PF_EXITING: Final = 0x4
"""A flag in ``stat``: the process exits."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The fields of ``/proc/<pid>/stat`` (proc(5)).

    Attributes:
        pid: the process id.
        name: the name of its program, shortened to 15 bytes.
        state: ``R`` running, ``S`` or ``D`` sleeping, ``T`` stopped, ``Z`` dead and not reaped.
        ppid: the pid of its parent.
        session: its session.
        start_time: clock ticks after boot.
    """

    pid: int
    name: str
    state: str
    ppid: int
    session: int
    start_time: int


def parse_stat(data: bytes) -> ProcessStatus:
    """Parse the contents of a ``stat`` file; the program's name may contain any characters."""
    opening, closing = data.index(b"("), data.rindex(b")")
    rest = data[closing + 2 :].split()
    return ProcessStatus(
        pid=int(data[:opening]),
        name=os.fsdecode(data[opening + 1 : closing]),
        state=rest[0].decode(),
        ppid=int(rest[1]),
        session=int(rest[3]),
        start_time=int(rest[19]),
    )


def status(pid: int) -> ProcessStatus | None:
    """Return the status of a process; None if there is no such process."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid: int) -> int | None:
    """Return the start of a process in clock ticks after boot; None if there is no such process."""
    found = status(pid)
    return None if found is None else found.start_time


def age(started: int) -> int:
    """Return the nanoseconds since a process started, independent of changes to the clock.

    Args:
        started: a result of :func:`start_time`.
    """
    return max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started * _TICK_NS)


def ppid(pid: int) -> int | None:
    """Return the parent of a process; None if there is no such process."""
    found = status(pid)
    return None if found is None else found.ppid


def is_alive(pid: int, started: int | None = None) -> bool:
    """Whether a process is running.

    Args:
        pid: its id.
        started: its start time, as returned by :func:`start_time`; a process with another
            start time is a different process. None to accept any.
    """
    found = status(pid) if pid > 0 else None
    if found is None or found.state in ("Z", "X"):
        return False
    return started is None or found.start_time == started


def is_ending(pid: int) -> bool:
    """Whether a process exits or has been killed, though it may take a while; or has ended.

    The first process of a PID namespace exits in this sense before the kernel kills the others.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
        signals = (_PROC / str(pid) / "status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    state, *_, flags = stat[stat.rindex(b")") + 2 :].split(maxsplit=7)[:7]
    if state in (b"Z", b"X") or int(flags) & _PF_EXITING:
        return True
    pending = re.findall(rb"^S(?:ig|hd)Pnd:\t([0-9a-f]+)$", signals, re.MULTILINE)
    return any(int(mask, 16) & 1 << signal.SIGKILL - 1 for mask in pending)


def exit_code(pidfd: int) -> int | None:
    """Return the exit code of a process that was reaped, 128 plus the number of a signal.

    None if it was not reaped, or before Linux 6.15.
    """
    info = bytearray(_PIDFD_INFO_SIZE)
    struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    (found,) = struct.unpack_from("=Q", info, 0)
    if not found & _PIDFD_INFO_EXIT:
        return None
    (status,) = struct.unpack_from("=i", info, _PIDFD_INFO_SIZE - 4)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def open_pidfd(pid: int, started: int | None = None) -> int:
    """Return a descriptor of a process; it becomes readable when the process ends.

    Raises:
        ProcessLookupError: no such process, or its start time is not ``started``.
    """
    fd = os.pidfd_open(pid)
    # Checked after opening: the descriptor cannot refer to a later process any more.
    if started is not None and start_time(pid) != started:
        os.close(fd)
        raise ProcessLookupError(f"process {pid} is not the one that started at {started}")
    return fd


def kill(pid: int, number: int = signal.SIGKILL, *, started: int | None = None) -> bool:
    """Send a signal to a process.

    Args:
        pid: its id.
        number: the signal's number.
        started: its start time; a process with another one gets no signal.

    Returns:
        False if there is no such process.
    """
    if pid <= 0:
        raise ValueError(f"not a single process: {pid}")
    try:
        if started is None:
            os.kill(pid, number)
            return True
        fd = open_pidfd(pid, started)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def children(pid: int) -> list[int]:
    """Return the child processes of ``pid``."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                found.extend(map(int, (thread / "children").read_text().split()))
    except FileNotFoundError:
        # The process has ended, or the kernel does not list children.
        everyone = (status(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
        return [entry.pid for entry in everyone if entry is not None and entry.ppid == pid]
    return found


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on; parents first."""
    found = children(pid)
    for child in found:
        found.extend(children(child))  # the loop continues with these
    return found


def _zero_separated(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [os.fsdecode(item) for item in data.split(b"\0")[:-1]] if data else []


def cmdline(pid: int) -> list[str]:
    """Return the arguments of a process; [] if it has ended or is a kernel thread."""
    return _zero_separated(_PROC / str(pid) / "cmdline")


def environment(pid: int) -> dict[str, str]:
    """Return the environment with which a process was started."""
    entries = (item.partition("=") for item in _zero_separated(_PROC / str(pid) / "environ"))
    return {name: value for name, equals, value in entries if equals}


@cache
def boot_id() -> str:
    """Return an id that changes with each boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
