"""A process of a container and the conmon that watches it, as the engine sees them.

The end of a process is the end of its conmon (see :mod:`palan.host.conmon`): by then its
output is written and its exit code is in a file.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from palan.host import processes


__all__ = ["LOST", "Exit", "Found", "Monitored", "closing", "find_monitors", "readable"]

LOST: Final = 255
"""The exit code of a process whose conmon was killed, as dockerd has for "unknown"."""

_ORPHAN_TIMEOUT: Final = 10.0
_TICK_NS: Final = 20_000_000


class Exit(NamedTuple):
    """How a process ended.

    Attributes:
        code: its exit code; 128 and the number of the signal if one ended it.
        time: when, in nanoseconds since the epoch.
        oom: the container ran out of memory while it was running.
        lost: conmon was killed, so the code is not known and the process was killed too.
    """

    code: int
    time: int
    oom: bool = False
    lost: bool = False


class Monitored:
    """A process and the conmon that watches it.

    Attributes:
        pid: the process.
        start_time: in clock ticks after boot, to tell it from a later one with the same pid.
        monitor: the pid of conmon.
        monitor_start_time: likewise.
        directory: where conmon's attach socket and fifos are.
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
        """Wait for the process to end, and for all of its output to be written."""
        return await asyncio.shield(self._exit)

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exit.result() if self._exit.done() and not self._exit.cancelled() else None

    def signal(self, number: int) -> bool:
        """Send a signal to the process; False if it has ended."""
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal.

        Raises:
            OSError: conmon has gone.
        """
        self._control(f"1 {rows} {columns}\n")

    def reopen_log(self) -> None:
        """Have the log go on in a new file of the same name, see ``engine.streams.rotate``.

        Raises:
            OSError: conmon has gone.
        """
        self._control("2 0 0\n")

    def release(self) -> None:
        """Let go of it; the process and conmon go on."""
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
        oom = (self.directory / "oom").exists()
        try:
            code = int(self._exit_file.read_bytes())
            written = self._exit_file.stat().st_mtime_ns
        except (OSError, ValueError):
            return await self._lost(oom=oom)
        self._close()
        # Files have the time of the kernel's last tick, which may be before the start.
        now = time.time_ns()
        return Exit(code, now if abs(now - written) < _TICK_NS else written, oom)

    async def _lost(self, *, oom: bool) -> Exit:
        """Nobody holds the streams of the process any more, so it must go too."""
        if self._pidfd is not None and self.signal(signal.SIGKILL):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ORPHAN_TIMEOUT):
                    await readable(self._pidfd)
        self._close()
        return Exit(LOST, time.time_ns(), oom, lost=True)


async def readable(fd: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        loop.remove_reader(fd)


async def closing(fd: int) -> None:
    """As :func:`readable`; closes the descriptor in the end."""
    try:
        await readable(fd)
    finally:
        os.close(fd)


class Found(NamedTuple):
    """A conmon that runs.

    Attributes:
        pid: of conmon.
        start_time: its, in clock ticks after boot.
        container: the container's id.
        uuid: the exec's id, or the container's again.
        directory: what it was given as bundle.
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


def find_monitors(below: Path, *, known: Collection[int] = ()) -> list[Found]:
    """The conmons whose directory is below ``below``.  Blocking (milliseconds).

    Args:
        below: the exec root of an engine.
        known: pids that need not be looked at.
    """
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        status = processes.status(int(entry.name))
        if status is None or status.name != "conmon":
            continue
        values = dict(
            argument[2:].split("=", 1)
            for argument in processes.cmdline(status.pid)[1:]
            if argument.startswith("--") and "=" in argument
        )
        directory = Path(values.get("bundle", "/"))
        if directory.is_relative_to(below) and "cid" in values:
            container = values["cid"]
            found.append(
                Found(
                    status.pid,
                    status.start_time,
                    container,
                    values.get("cuuid", container),
                    directory,
                )
            )
    return found
