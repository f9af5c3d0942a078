"""conmon, which watches one process of a container and outlives the engine.

A conmon holds the streams of a container's first process, or of an exec'd one; it writes
the log, passes input and output on to attached clients, and leaves the exit code in a
file.  It makes the process by running the OCI runtime, and tells us through pipes (named
in its environment) how that went.  One needs nothing of the engine afterwards.

What matters to us, found by trying conmon 2.1.6 and confirmed in its source:

* With ``--sync`` it does not fork away: the process that we started *is* the monitor, so
  its id is known at once, its end is seen by a pidfd, and it is ours to reap.  It still
  makes a session of its own, and survives us.
* ``_OCI_SYNCPIPE`` gets a JSON line ``{"data": pid}``, or ``{"data": -1, "message":
  ...}`` with what the runtime wrote to stderr (8 KiB of it at most); for an exec a
  second one with the exit code, which may come in the same read.
* With ``--exec-attach`` it makes the attach socket, writes a line to ``_OCI_ATTACHPIPE``,
  and runs the runtime only when it has read from ``_OCI_STARTPIPE`` for the second time
  (the first read holds up everything; what is there already satisfies it).
* Clients connected before the process is started miss nothing: in a turn of conmon's loop
  new clients come before output, and it drains the output after the process has ended.
* Order at the end: all output to log and clients, clients closed, exit file, conmon
  exits.  The file is renamed into place.  ``--no-sync-log`` saves an fsync there.
* A packet to a client is a byte (2 stdout, 3 stderr) and up to 8192 bytes.  Sending
  blocks: a client that does not read stops conmon, log and container.  Nothing is lost.
* From a client it takes packets of up to 32768 bytes and cuts off the rest; they have no
  leading byte.  A process that does not read holds up the client, nobody else.  But when
  the process has closed its stdin and a client still sends, conmon spins (EPIPE, again
  and again) until the process ends.
* When a client closes *or half-closes*, conmon closes the process's stdin, whichever
  client it was, unless there is ``--leave-stdin-open``.  Shutting a connection down for
  reading does not count.
* A conmon that fails to make its process exits without accepting who is waiting at the
  socket: ``ECONNRESET`` for them.
* ``ctl`` in its directory is a fifo that takes lines: ``1 rows columns`` resizes the
  terminal (also before the start), ``2 0 0`` reopens the log: a new file ``<log>.tmp`` is
  renamed to ``<log>``.  Columns and rows above 1000 are ignored by later versions.
* Times in the log are in its local time zone.  A log's path must not contain a colon.
* SIGTERM, SIGINT and SIGQUIT are passed on to the process.  When conmon itself is killed,
  the process goes on with nobody at the other end of its streams, and no exit file comes.
* When the container runs out of memory, a file ``oom`` appears in its working directory.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from palan.host import processes
from palan.host.monitored import LOST, Exit, Found, Monitored, closing, find_monitors, readable
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure
from palan.host.spawn import Process


__all__ = [
    "LOST",
    "Conmon",
    "ContainerPlan",
    "ExecPlan",
    "Exit",
    "Found",
    "Monitored",
    "find_monitors",
]

_PASSED: Final = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR")
"""What conmon and the runtime get of our environment.  Not NOTIFY_SOCKET, LISTEN_FDS."""

_FIXED: Final = {
    "TZ": "UTC0",  # times in the log
    # conmon 2.1 looks at a connection that it has just freed when a client goes away while
    # output is written.  That is harmless unless glibc has given the memory back to the
    # kernel meanwhile: then conmon dies, and the container with it.
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
}

_MESSAGE_MAX: Final = 256 * 1024

_PAUSE: Final = 0.005

_GRACE: Final = 5.0
"""Seconds that a conmon has to go when it and what it started were killed."""


class _Message(msgspec.Struct):
    data: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """A container to be made.

    Attributes:
        id: its id.
        bundle: the directory with ``config.json``; conmon puts its socket and fifos there.
        exits: where exit codes are left, in a file named after the container.
        log: the log file; None to keep none.
        log_max: its size in bytes at which it is begun anew, without what was in it.
        tty: its streams are a terminal; as in its ``config.json``.
        stdin: clients may write to its stdin.
        keep_stdin: its stdin stays open when a client closes.
        restore: a checkpoint to go on from: it is not to be started any more.
        host_mounts: directories of the host are mounted in it, which may themselves have been
            mounted lately.
    """

    id: str
    bundle: Path
    exits: Path
    log: Path | None
    log_max: int = 0
    tty: bool = False
    stdin: bool = False
    keep_stdin: bool = False
    restore: Path | None = None
    host_mounts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlan:
    """A process to be made in a running container.

    Attributes:
        id: its id.
        container: the container's.
        directory: one of its own, where ``process.json`` and conmon's files are put; what
            it lies in must be there.
        process: ``process`` of the OCI runtime specification.
        tty: its streams are a terminal; as in ``process``.
        stdin: clients may write to its stdin, which is closed when one of them closes.
    """

    id: str
    container: str
    directory: Path
    process: Mapping[str, Any]
    tty: bool = False
    stdin: bool = False


class _Pipe:
    """The reading end of a pipe on which conmon sends lines of JSON."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.writer, True)
        self._data = b""

    def close_writer(self) -> None:
        """Close what conmon has inherited, so that its end is the pipe's end."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        """Close both ends; conmon does not mind."""
        self.close_writer()
        os.close(self.reader)

    async def message(self) -> _Message | None:
        """The next message; None if conmon has gone without one."""
        while b"\n" not in self._data and len(self._data) < _MESSAGE_MAX:
            await readable(self.reader)
            data = os.read(self.reader, 65536)
            if not data:
                return None
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        text = line.decode(errors="replace")  # the runtime's words need not be UTF-8
        try:
            return msgspec.json.decode(text, type=_Message)
        except msgspec.DecodeError:
            return _Message(data=-1, message=text)


class Conmon:
    """Starts conmons.

    Args:
        program: the program.
        environment: for it and the runtime; None for what they need of ours.
        patience: seconds that the runtime has to make a process.  One that hangs, on the
            dead disk of a mount for example, must not hold up its container for ever.
    """

    def __init__(
        self,
        program: str | Path = "conmon",
        *,
        environment: Mapping[str, str] | None = None,
        patience: float = 120.0,
    ) -> None:
        self.program = str(program)
        self._patience = patience
        if environment is None:
            environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        self._environment = {**environment, **_FIXED}

    async def create(self, runtime: OCIRuntime, plan: ContainerPlan) -> Monitored:
        """Make a container; it waits to be started by :meth:`OCIRuntime.start`.

        Must not be cancelled: what was made by then would be left over.

        Raises:
            RuntimeFailure: the runtime refused; its words, for
                :func:`palan.host.oci_failures.explain`.  Nothing of conmon is left,
                something of the runtime may be: delete it by force.
            OSError: conmon could not be started.
        """
        exit_file = plan.exits / plan.id
        exit_file.unlink(missing_ok=True)
        (plan.bundle / "oom").unlink(missing_ok=True)
        arguments = [
            *self._common(runtime, plan.id, plan.id, plan.bundle, plan.exits),
            *_log_arguments(plan.log, plan.log_max),
            *_stream_arguments(tty=plan.tty, stdin=plan.stdin, keep_stdin=plan.keep_stdin),
            *([f"--restore={plan.restore}"] if plan.restore else []),
        ]
        async with _pipes(1) as (sync,):
            process = await self._spawn(
                runtime,
                arguments,
                plan.bundle,
                {"_OCI_SYNCPIPE": sync},
                kept_view=not plan.host_mounts,
            )
            message = await self._told(process, sync)
        return await self._made(process, message, plan.bundle, exit_file)

    async def exec(
        self,
        runtime: OCIRuntime,
        plan: ExecPlan,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> Monitored:
        """Run a process in a running container.

        Must not be cancelled.

        Args:
            runtime: the container's.
            plan: what to run.
            ready: is called when clients can attach and before the process runs, so
                that they get all of its output.

        Raises:
            RuntimeFailure: as with :meth:`create`.
            OSError: conmon could not be started, such as where the directory cannot be
                made, or what ``ready`` raised.
        """
        directory = plan.directory
        # Not what it lies in: that may go at any time, together with the container.
        directory.mkdir(mode=0o700, exist_ok=True)
        specification = directory / "process.json"
        specification.write_bytes(msgspec.json.encode(plan.process))
        exit_file = directory / plan.container
        exit_file.unlink(missing_ok=True)
        arguments = [
            *self._common(runtime, plan.container, plan.id, directory, directory),
            *_log_arguments(None, 0),
            *_stream_arguments(tty=plan.tty, stdin=plan.stdin, keep_stdin=plan.tty),
            "--exec",
            f"--exec-process-spec={specification}",
        ]
        if ready is None:
            async with _pipes(1) as (sync,):
                pipes = {"_OCI_SYNCPIPE": sync}
                process = await self._spawn(runtime, arguments, directory, pipes)
                message = await self._told(process, sync)
            return await self._made(process, message, directory, exit_file)
        async with _pipes(2) as (sync, attach):
            begin, go = os.pipe2(os.O_CLOEXEC)
            try:
                os.write(go, b"\0")
                process = await self._spawn(
                    runtime,
                    [*arguments, "--exec-attach"],
                    directory,
                    {"_OCI_SYNCPIPE": sync, "_OCI_ATTACHPIPE": attach},
                    {"_OCI_STARTPIPE": begin},
                )
                if await attach.message() is not None:
                    try:
                        await ready()
                    except BaseException:
                        process.kill()
                        raise
                    os.write(go, b"\0")
            finally:
                os.close(begin)
                os.close(go)
            message = await self._told(process, sync)
        return await self._made(process, message, directory, exit_file)

    def adopt(
        self,
        *,
        pid: int,
        start_time: int,
        monitor: int,
        monitor_start_time: int,
        directory: Path,
        exit_file: Path,
    ) -> Monitored:
        """Go on watching a process that an engine before us has made.

        What has ended meanwhile, conmon or the process, is noticed like any other end.
        """
        try:
            fd = processes.open_pidfd(monitor, monitor_start_time)
        except ProcessLookupError:
            ended: Callable[[], Awaitable[object]] = _at_once
        else:
            ended = partial(closing, fd)
        try:
            pidfd: int | None = processes.open_pidfd(pid, start_time)
        except ProcessLookupError:
            pidfd = None
        return Monitored(
            pid=pid,
            start_time=start_time,
            monitor=monitor,
            monitor_start_time=monitor_start_time,
            directory=directory,
            exit_file=exit_file,
            ended=ended,
            pidfd=pidfd,
        )

    def _common(
        self, runtime: OCIRuntime, container: str, uuid: str, directory: Path, exits: Path
    ) -> list[str]:
        runtime_arguments = (
            *runtime.arguments,
            # Otherwise warnings of the runtime are mixed with what the process writes.
            f"--log={directory / 'runtime.log'}",
            "--log-format=json",
        )
        return [
            self.program,
            "--sync",
            "--api-version=1",
            f"--cid={container}",
            f"--cuuid={uuid}",
            f"--runtime={runtime.path}",
            *(f"--runtime-arg={argument}" for argument in runtime_arguments),
            f"--bundle={directory}",
            "--full-attach",
            f"--container-pidfile={directory / 'pid'}",
            f"--exit-dir={exits}",
            "--no-sync-log",
            "--log-level=error",
        ]

    async def _spawn(
        self,
        runtime: OCIRuntime,
        arguments: list[str],
        directory: Path,
        pipes: Mapping[str, _Pipe],
        readers: Mapping[str, int] | None = None,
        *,
        kept_view: bool = True,
    ) -> Process:
        descriptors = {name: pipe.writer for name, pipe in pipes.items()} | dict(readers or {})
        errors = os.open(
            directory / "conmon.log",
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
            0o600,
        )
        try:
            return await runtime.spawner.spawn(
                arguments,
                stderr=errors,
                env={**self._environment, **{n: str(fd) for n, fd in descriptors.items()}},
                cwd=directory,
                pass_fds=tuple(descriptors.values()),
                kept_view=kept_view,
            )
        finally:
            os.close(errors)
            for pipe in pipes.values():
                pipe.close_writer()

    async def _told(self, process: Process, sync: _Pipe) -> _Message | None:
        """What conmon says when the runtime has made the process, or has failed to."""
        try:
            async with asyncio.timeout(self._patience):
                return await sync.message()
        except TimeoutError:
            await asyncio.to_thread(_kill_family, process.pid)
            with contextlib.suppress(TimeoutError):  # then it hangs in the kernel
                async with asyncio.timeout(_GRACE):
                    await process.wait()
            raise RuntimeFailure(
                f"the runtime has not made the process within {self._patience:g} s: it hangs"
            ) from None

    async def _made(
        self, process: Process, message: _Message | None, directory: Path, exit_file: Path
    ) -> Monitored:
        if message is None or message.data <= 0:
            await process.wait()
            words = "" if message is None else message.message.strip()
            if not words:
                words = _tail(directory / "runtime.log") or _tail(directory / "conmon.log")
            raise RuntimeFailure(words or f"conmon ended with {process.returncode}")
        pid = message.data
        # The process may have ended, and its number may have been given away, if it was
        # not waiting to be started.  conmon is our child, so its number is its own.
        try:
            pidfd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            pidfd = None
        found, ours = processes.status(pid), processes.status(process.pid)
        if pidfd is not None and (found is None or found.ppid != process.pid):
            os.close(pidfd)
            pidfd = None
        return Monitored(
            pid=pid,
            start_time=0 if found is None else found.start_time,
            monitor=process.pid,
            monitor_start_time=0 if ours is None else ours.start_time,
            directory=directory,
            exit_file=exit_file,
            ended=process.wait,
            pidfd=pidfd,
        )


def _kill_family(pid: int) -> None:
    """Kill a conmon that has not reported yet, with the runtime and what that has started."""
    # Stopped, it starts nothing more, and adopts what its children leave behind.
    started = processes.start_time(pid)
    processes.kill(pid, signal.SIGSTOP, started=started)
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline:
        left = [child for child in processes.descendants(pid) if processes.is_alive(child)]
        if not left:
            break
        for child in left:
            processes.kill(child)
        time.sleep(_PAUSE)
    processes.kill(pid, started=started)


def _log_arguments(log: Path | None, log_max: int) -> list[str]:
    if log is None:
        return ["--log-path=none"]
    if ":" in str(log):
        raise ValueError(f"conmon takes no log path with a colon: {log}")
    size = [f"--log-size-max={log_max}"] if log_max > 0 else []
    return [f"--log-path=k8s-file:{log}", *size]


def _stream_arguments(*, tty: bool, stdin: bool, keep_stdin: bool) -> list[str]:
    return [
        *(["--terminal"] if tty else []),
        *(["--stdin"] if stdin else []),
        *(["--leave-stdin-open"] if stdin and keep_stdin else []),
    ]


@contextlib.asynccontextmanager
async def _pipes(count: int) -> AsyncIterator[list[_Pipe]]:
    pipes: list[_Pipe] = []
    try:
        for _ in range(count):
            pipes.append(_Pipe())  # noqa: PERF401 - what was opened must be closed on an error
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()


async def _at_once() -> None:
    """Nothing to wait for."""


def _tail(path: Path) -> str:
    """The last line of a small file."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
