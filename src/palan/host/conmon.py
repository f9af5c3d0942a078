"""conmon, the monitor process of each container and exec; it outlives the engine.

A conmon holds the standard streams of a container's first process, or of an exec'd one. It
writes the log, passes input and output between the process and attached clients, and leaves the
exit code in a file. It creates the process by running the OCI runtime, and reports the result
through pipes (named in its environment). Afterwards it needs nothing from the engine.

The properties on which this module relies, found with conmon 2.1.6 and confirmed in its source:

* With ``--sync`` it does not fork: the process that we started *is* the monitor, so its pid is
  known at once, a pidfd shows its end, and it is our child to reap. It still creates its own
  session, and survives the engine.
* ``_OCI_SYNCPIPE`` receives a JSON line ``{"data": pid}``, or ``{"data": -1, "message":
  ...}`` with the stderr of the runtime (at most 8 KiB); for an exec a second line with the exit
  code, which may arrive in the same read.
* With ``--exec-attach`` it creates the attach socket, writes a line to ``_OCI_ATTACHPIPE``,
  and runs the runtime only after a second read from ``_OCI_STARTPIPE`` (the first read delays
  everything; data that is already in the pipe satisfies it).
* Clients that connect before the process is started miss nothing: conmon's loop handles new
  clients before output, and reads all remaining output after the process has ended.
* Order at the end: write all output to log and clients, close the clients, rename the exit
  file into place, exit. ``--no-sync-log`` saves an fsync there.
* A packet to a client is a byte (2 stdout, 3 stderr) and up to 8192 bytes. Sending
  blocks: a client that does not read stops conmon, log and container. Nothing is lost.
* It reads packets of up to 32768 bytes from a client and truncates longer ones; they have no
  leading byte. A process that does not read delays only that client. But if the process has
  closed its stdin and a client still sends, conmon loops (EPIPE again and again) until the
  process ends.
* When any client closes *or half-closes* its connection, conmon closes the stdin of the
  process, unless ``--leave-stdin-open`` is given. shutdown(SHUT_RD) does not count.
* A conmon that fails to create its process exits without accepting the connections that wait
  at the socket: those clients get ``ECONNRESET``.
* ``ctl`` in its directory is a fifo that takes lines: ``1 rows columns`` resizes the
  terminal (also before the start), ``2 0 0`` reopens the log: a new file ``<log>.tmp`` is
  renamed to ``<log>``. Later versions ignore columns and rows above 1000.
* Times in the log are in its local time zone. A log's path must not contain a colon.
* SIGTERM, SIGINT and SIGQUIT are forwarded to the process. When conmon itself is killed, the
  process continues with its streams disconnected, and no exit file is written.
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
from palan.host.monitored import (
    LOST,
    Exit,
    Monitored,
    RunningMonitor,
    closing,
    find_monitors,
    readable,
)
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure
from palan.host.spawn import Process


__all__ = [
    "LOST",
    "Conmon",
    "ContainerPlan",
    "ExecPlan",
    "Exit",
    "Monitored",
    "RunningMonitor",
    "find_monitors",
]

_INHERITED: Final = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR")
"""Variables passed on to conmon and the runtime. Not NOTIFY_SOCKET, LISTEN_FDS."""

_FIXED: Final = {
    "TZ": "UTC0",  # times in the log
    # conmon 2.1 uses a connection that it has just freed, if a client disconnects while output
    # is written. That is harmless unless glibc has returned the memory to the kernel meanwhile:
    # then conmon crashes, and the container with it.
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
}

_UTF8: Final = {"LC_ALL": "C.UTF-8"}
"""Needed for arguments that are not ASCII, and for these only.

With a locale, conmon's use of freed memory has other effects: it often misses that a client has
closed its input, and the process waits for the end of its stdin for ever.
"""

_MESSAGE_MAX: Final = 256 * 1024

_PAUSE: Final = 0.005

_LOOK: Final = 1.0
"""Seconds between two looks at the processes of a conmon that has not reported yet."""

_GRACE: Final = 5.0
"""Seconds to wait for a conmon to exit after it and its children were killed."""


class _Message(msgspec.Struct):
    data: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """The parameters of a new container.

    Attributes:
        id: the container's id.
        bundle: the directory with ``config.json``; conmon puts its socket and fifos there.
        exits: the directory for exit codes, in a file named after the container.
        log: the log file; None for no log.
        log_max: size in bytes at which the log is truncated and begun again.
        tty: the streams are a terminal; has to agree with ``config.json``.
        stdin: clients may write to its stdin.
        keep_stdin: its stdin stays open when a client disconnects.
        restore: a checkpoint to restore; the container need not be started then.
        host_mounts: directories of the host are mounted into it, which may themselves be recent
            mount points.
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
    """The parameters of a new process in a running container.

    Attributes:
        id: the exec's id.
        container: the container's id.
        directory: a directory of its own for ``process.json`` and conmon's files; its parent must
            exist.
        process: ``process`` of the OCI runtime specification.
        tty: the streams are a terminal; has to agree with ``process``.
        stdin: clients may write to its stdin, which is closed when one of them disconnects.
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
        """Close the end that conmon has inherited, so that its exit closes the pipe."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        """Close both ends; conmon tolerates that."""
        self.close_writer()
        os.close(self.reader)

    async def message(self) -> _Message | None:
        """Return the next message; None if conmon has exited without sending one."""
        while b"\n" not in self._data and len(self._data) < _MESSAGE_MAX:
            await readable(self.reader)
            data = os.read(self.reader, 65536)
            if not data:
                return None
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        text = line.decode(errors="replace")  # output of the runtime need not be UTF-8
        try:
            return msgspec.json.decode(text, type=_Message)
        except msgspec.DecodeError:
            return _Message(data=-1, message=text)


class Conmon:
    """Starts conmon processes.

    Args:
        program: path or name of conmon.
        environment: for conmon and the runtime; None for the necessary part of our own.
        patience: seconds in which the runtime has to create a process. A runtime that hangs, for
            example on a mount of a dead disk, must not block its container for ever.
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
            environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**environment, **_FIXED}

    async def create(self, runtime: OCIRuntime, plan: ContainerPlan) -> Monitored:
        """Create a container, which :meth:`OCIRuntime.start` then starts.

        Must not be cancelled, because what exists by then would be left over.

        Raises:
            RuntimeFailure: the runtime failed; its message is for
                :func:`palan.host.oci_failures.explain`. Nothing of conmon is left, but state of the
                runtime may be: delete the container by force.
            OSError: conmon could not be started.
        """
        exit_file = plan.exits / plan.id
        plan.exits.mkdir(mode=0o700, exist_ok=True)  # somebody may have removed it
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
                cached_view=not plan.host_mounts,
            )
            message = await self._report(process, sync)
        return await self._monitored(process, message, plan.bundle, exit_file)

    async def exec(
        self,
        runtime: OCIRuntime,
        plan: ExecPlan,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> Monitored:
        """Run a process in a running container.

        Must not be cancelled.

        Args:
            runtime: the container's runtime.
            plan: the process to run.
            ready: called when clients can attach, before the process runs, so that they receive
                all of its output.

        Raises:
            RuntimeFailure: as with :meth:`create`.
            OSError: conmon could not be started, for example because the directory cannot be
                created; or an exception of ``ready``.
        """
        directory = plan.directory
        # Without parents: the container may be removed, with its directory, at any time.
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
                message = await self._report(process, sync)
            return await self._monitored(process, message, directory, exit_file)
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
            message = await self._report(process, sync)
        return await self._monitored(process, message, directory, exit_file)

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
        """Continue to watch a process that an earlier engine has started.

        If conmon or the process has ended in the meantime, that is reported like any other end.
        """
        try:
            fd = processes.open_pidfd(monitor, monitor_start_time)
        except ProcessLookupError:
            ended: Callable[[], Awaitable[object]] = _ended_already
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
            # Otherwise warnings of the runtime are mixed with the output of the process.
            f"--log={directory / 'runtime.log'}",
            # crun's init writes to the container's stderr, in this format, that it cannot execute
            # the program.
            f"--log-format={'text' if runtime.kind == 'crun' else 'json'}",
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
        cached_view: bool = True,
    ) -> Process:
        descriptors = {name: pipe.writer for name, pipe in pipes.items()} | dict(readers or {})
        locale = {} if all(argument.isascii() for argument in arguments) else _UTF8
        errors = os.open(
            directory / "conmon.log",
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
            0o600,
        )
        try:
            return await runtime.spawner.spawn(
                arguments,
                stderr=errors,
                env={
                    **self._environment,
                    **locale,
                    **{name: str(fd) for name, fd in descriptors.items()},
                },
                cwd=directory,
                pass_fds=tuple(descriptors.values()),
                cached_view=cached_view,
            )
        finally:
            os.close(errors)
            for pipe in pipes.values():
                pipe.close_writer()

    async def _report(self, process: Process, sync: _Pipe) -> _Message | None:
        """Return conmon's report on whether the runtime created the process."""
        deadline, lost = time.monotonic() + self._patience, 0
        while time.monotonic() < deadline and lost < 2:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK, self._patience)):
                    return await sync.message()
            # Twice, because the report may just be on its way.
            lost = lost + 1 if await asyncio.to_thread(_has_lost_runtime, process.pid) else 0
        await asyncio.to_thread(_kill_tree, process.pid)
        with contextlib.suppress(TimeoutError):  # it hangs in the kernel
            async with asyncio.timeout(_GRACE):
                await process.wait()
        if lost > 1:
            raise RuntimeFailure("the runtime was killed before it had created the process")
        raise RuntimeFailure(
            f"the runtime has not created the process within {self._patience:g} s: it hangs"
        )

    async def _monitored(
        self, process: Process, message: _Message | None, directory: Path, exit_file: Path
    ) -> Monitored:
        if message is None or message.data <= 0:
            await process.wait()
            words = "" if message is None else message.message.strip()
            if not words:
                words = _tail(directory / "runtime.log") or _tail(directory / "conmon.log")
            raise RuntimeFailure(words or f"conmon ended with {process.returncode}")
        pid = message.data
        # If the process did not have to be started, it may have ended and its pid may have been
        # reused. conmon is our child, so its pid is certain.
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


def _has_lost_runtime(pid: int) -> bool:
    """Whether the runtime of a conmon has ended, but not the process that it was creating.

    conmon then waits for the end of the runtime's stderr, which that process has as well. The
    runtime is in conmon's session; what it creates is in another one.
    """
    found = (processes.status(child) for child in processes.descendants(pid))
    alive = [child for child in found if child is not None and child.state not in ("Z", "X")]
    return bool(alive) and all(child.session != pid for child in alive)


def _kill_tree(pid: int) -> None:
    """Kill a conmon that has not reported yet, with the runtime and all descendants."""
    # While stopped, it starts nothing more, and becomes the parent of orphans.
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
        raise ValueError(f"conmon does not accept a log path with a colon: {log}")
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
            pipes.append(_Pipe())  # noqa: PERF401 - opened pipes must be closed on an error
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()


async def _ended_already() -> None:
    """Return at once: conmon has ended already."""


def _tail(path: Path) -> str:
    """Return the last line of a small file."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
