"""A container's process together with its conmon, as the engine sees them.

A process counts as ended when its conmon has ended (see :mod:`palan.host.conmon`): by then all
output is written and the exit code is in a file.
"""

import asyncio
import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

from palan.host import processes
from palan.host.oci_runtime import find_programs


__all__ = [
    "LOST",
    "Exit",
    "Monitored",
    "RunningMonitor",
    "closing",
    "find_monitors",
    "read_exit",
    "readable",
]

LOST: Final = 255
"""The exit code of a process that lost its conmon, or of an unknown one, as dockerd's."""

_KILLED: Final = "conmon was killed"
_ORPHAN_TIMEOUT: Final = 10.0
_ID: Final = re.compile(r"[0-9a-f]{64}")
_TICK_NS: Final = 20_000_000


class Exit(NamedTuple):
    """The end of a process.

    Attributes:
        code: its exit code; 128 plus the signal number if a signal ended it.
        time: nanoseconds since the epoch.
        oom: the container ran out of memory while the process was running.
        lost: conmon was killed, or could not write the exit code.  If the process still ran, it
            was killed too.  The code is what the kernel knew, or :data:`LOST`.
        problem: the reason of that.
    """

    code: int
    time: int
    oom: bool = False
    lost: bool = False
    problem: str = ""


class Monitored:
    """A process and the conmon that watches it.

    Attributes:
        pid: the pid of the process.
        start_time: its start in clock ticks after boot, which identifies it if the pid is reused.
        monitor: the pid of conmon.
        monitor_start_time: the start of conmon, likewise.
        directory: the directory with conmon's attach socket and fifos.
    """

    def __init__(
        self,
        *,
        pid: int,
        start_time: int,
        monitor: int,
        monitor_start_time: int,
        directory: Path,
        exit_file: Path,
        ended: Callable[[], Awaitable[object]],
        pidfd: int | None,
    ) -> None:
        self.pid = pid
        self.start_time = start_time
        self.monitor = monitor
        self.monitor_start_time = monitor_start_time
        self.directory = directory
        self._exit_file = exit_file
        self._pidfd = pidfd
        self._exit = asyncio.ensure_future(self._watch(ended))

    async def wait(self) -> Exit:
        """Wait until the process has ended and all of its output is written."""
        return await asyncio.shield(self._exit)

    @property
    def exit(self) -> Exit | None:
        """The end of the process; None while it is running."""
        return self._exit.result() if self._exit.done() and not self._exit.cancelled() else None

    def signal(self, number: int) -> bool:
        """Send a signal to the process; return False if it has ended."""
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def wake(self) -> None:
        """Continue conmon, which somebody may have stopped with SIGSTOP."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            processes.kill(self.monitor, signal.SIGCONT, started=self.monitor_start_time)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal.

        Raises:
            OSError: conmon has exited.
        """
        self._control(f"1 {rows} {columns}\n")

    def reopen_log(self) -> None:
        """Make conmon continue the log in a new file of the same name.

        conmon creates a file and renames it over the log, so the old log is lost unless it has
        another hard link.

        Raises:
            OSError: conmon has exited.
        """
        self._control("2 0 0\n")

    def release(self) -> None:
        """Stop watching; the process and conmon continue."""
        self._exit.cancel()
        self._close()

    def _control(self, line: str) -> None:
        fd = os.open(self.directory / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    def _close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def _watch(self, ended: Callable[[], Awaitable[object]]) -> Exit:
        await ended()
        found = read_exit(self._exit_file, self.directory)
        if found.lost:
            found = found._replace(code=await self._lost_code(), time=time.time_ns())
        self._close()
        return found

    async def _lost_code(self) -> int:
        """Return the exit code that conmon has not written, if the kernel still knows it.

        A process that still runs is killed, because its streams are disconnected without conmon.
        """
        if self._pidfd is None:
            return LOST
        if not self.signal(signal.SIGKILL):
            code = processes.exit_code(self._pidfd)
            return LOST if code is None else code
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ORPHAN_TIMEOUT):
                await readable(self._pidfd)
        return LOST


def read_exit(exit_file: Path, directory: Path) -> Exit:
    """Read the end of a process from the files of its conmon. Blocking.

    Args:
        exit_file: the file with the exit code; if it is absent, the code is unknown.
        directory: conmon's directory, in which it creates ``oom`` when memory runs out.
    """
    oom, now = (directory / "oom").exists(), time.time_ns()
    try:
        code, written = int(exit_file.read_bytes()), exit_file.stat().st_mtime_ns
    except (OSError, ValueError):
        return Exit(LOST, now, oom, lost=True, problem=_why_not_written(exit_file))
    # Timestamps of files are those of the kernel's last tick, which may precede the start.
    return Exit(code, now if abs(now - written) < _TICK_NS else written, oom)


def _why_not_written(exit_file: Path) -> str:
    try:
        space = os.statvfs(exit_file.parent)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if not space.f_bavail or (space.f_files and not space.f_favail):
        return f"{exit_file.parent}: {os.strerror(errno.ENOSPC)}"
    return _KILLED


async def readable(fd: int) -> None:
    """Wait until a descriptor is readable or at its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        loop.remove_reader(fd)


async def closing(fd: int) -> None:
    """Wait like :func:`readable`, then close the descriptor."""
    try:
        await readable(fd)
    finally:
        os.close(fd)


class RunningMonitor(NamedTuple):
    """A running conmon.

    Attributes:
        pid: the pid of conmon.
        start_time: its start in clock ticks after boot.
        container: the container's id.
        uuid: the exec's id, or the container's id again.
        directory: its bundle directory, derived from these ids.
    """

    pid: int
    start_time: int
    container: str
    uuid: str
    directory: Path

    @property
    def is_exec(self) -> bool:
        """Whether it watches an exec'd process."""
        return self.uuid != self.container


def find_monitors(bundles: Path, program: str | Path | None = None) -> list[RunningMonitor]:
    """Find the running conmons of an engine. Blocking (milliseconds).

    Command lines are not trustworthy: processes of containers appear in /proc too and can choose
    theirs. So a process counts only if it runs conmon's program in our PID namespace, and if its
    directory is the one that follows from its ids.

    Args:
        bundles: the directory with the bundles of the engine.
        program: conmon; None for the installed one.
    """
    if program is None:
        program = find_programs(["conmon"]).get("conmon", "conmon")
    program = Path(program)
    try:
        wanted, ours = program.stat(), Path("/proc/self/ns/pid").stat()
    except OSError:
        return []
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        status = processes.status(int(entry.name))
        if status is None or status.name != "conmon":
            continue
        try:
            # Processes of containers are in another PID namespace, or do not run this file.
            if not os.path.samestat(Path(f"/proc/{status.pid}/ns/pid").stat(), ours):
                continue
            if not _runs(status.pid, program, wanted):
                continue
        except OSError:  # it has ended
            continue
        monitor = _monitor(status.pid, status.start_time, bundles)
        if monitor is not None and processes.start_time(status.pid) == status.start_time:
            found.append(monitor)
    return found


def _runs(pid: int, program: Path, wanted: os.stat_result) -> bool:
    """Whether a process runs a program, or a deleted earlier version of it."""
    exe = Path(f"/proc/{pid}/exe")
    runs = exe.stat()
    if os.path.samestat(runs, wanted):
        return True
    replaced = runs.st_dev == wanted.st_dev and runs.st_nlink == 0
    return replaced and str(exe.readlink()) == f"{program.resolve()} (deleted)"


def _monitor(pid: int, start_time: int, bundles: Path) -> RunningMonitor | None:
    """Parse a conmon's command line; None if it does not belong to these bundles."""
    values = dict(
        argument[2:].split("=", 1)
        for argument in processes.cmdline(pid)[1:]
        if argument.startswith("--") and "=" in argument
    )
    container = values.get("cid", "")
    uuid = values.get("cuuid", container)
    if _ID.fullmatch(container) is None or _ID.fullmatch(uuid) is None:
        return None
    directory = bundles / container
    if uuid != container:
        directory = directory / "execs" / uuid
    if values.get("bundle") != str(directory):
        return None
    return RunningMonitor(pid, start_time, container, uuid, directory)
