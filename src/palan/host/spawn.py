"""Starting programs of the host, directly or with another view of its mounts.

Programs get ``/dev/null`` for stdin, none of our descriptors but those named, and ``/``
as working directory.  The output of :func:`run` goes to memory files instead of pipes:
nothing has to be read while the program runs, and a daemon that it leaves behind with
its output still open (conmon, a container's first process) holds nobody up.

A *view* is a private copy of the mount namespace with something taken away.  crun
refuses a machine that has both generations of cgroups mounted; in
:class:`LegacyCgroupView` it finds the first only.  The copy is made by the thread that
is about to start the program, anew for each program: mounts made since are seen, and
ones undone since are not held.  It lives as long as the program and its children, so
what is mounted for containers should lie below a shared mount (see
:func:`palan.host.mounts.ensure_shared`) from which a later unmount reaches the copies.
"""

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

from palan.host import mounts, syscalls
from palan.host.namespaces import run_in_thread


__all__ = [
    "Completed",
    "LegacyCgroupView",
    "MountView",
    "Process",
    "Spawner",
    "run",
    "spawn",
]

Argument = str | bytes | os.PathLike[str]
Stream = int | IO[Any] | None
"""What a program gets as one of its three streams, as for :class:`subprocess.Popen`."""

Popen = subprocess.Popen[bytes]

_DEVNULL: Final = subprocess.DEVNULL
_GRACE: Final = 1.0  # seconds for a killed program to be gone
_MFD_NOEXEC_SEAL: Final = 0x8  # Linux 6.3, where a machine may insist on it


class Completed(NamedTuple):
    """How a program ended.

    Attributes:
        returncode: its exit code; a signal's number, negated, when one ended it.
        stdout: what it wrote, all of it.
        stderr: likewise.
    """

    returncode: int
    stdout: bytes
    stderr: bytes


class MountView(Protocol):
    """Another view of the host's mounts, for programs to be started in."""

    def entered(self, *, kept: bool = False) -> contextlib.AbstractContextManager[None]:
        """Have the calling thread, and what it starts, see it; the thread must be one's own.

        Args:
            kept: a copy that was made before will do, which may lack what was mounted since.
        """

    def close(self) -> None:
        """Let go of what the view holds."""


class LegacyCgroupView:
    """The mounts without the second generation of cgroups that a hybrid machine also has.

    What is started in it sees a copy of the mounts.  A copy has to be made of every single
    mount, of which running containers have three each, and each mount or unmount below a
    shared one is then done in every copy.  So one copy is kept, in which all are started that
    have no need of what was mounted a moment ago.

    Args:
        hidden: where that is mounted.
    """

    def __init__(self, hidden: Path = Path("/sys/fs/cgroup/unified")) -> None:
        self._hidden = hidden
        self._around = str(hidden.parent)
        self._home, self._root = _namespace(), _root()
        self._kept: tuple[int, int] | None = None
        self._making = threading.Lock()
        self._own = threading.local()

    @contextlib.contextmanager
    def entered(self, *, kept: bool = False) -> Iterator[None]:
        """Put the calling thread into a copy, and back home in the end.

        Args:
            kept: into the one that is kept, instead of a fresh one.  Of later mounts it has
                those below shared ones.
        """
        if not getattr(self._own, "unshared", False):
            # A thread that shares root and working directory cannot change namespaces.
            syscalls.unshare(syscalls.CLONE_FS)
            self._own.unshared = True
        try:
            if kept:
                self._enter_kept()
            else:
                self._copy()
            yield
        finally:
            _enter(self._home, self._root)

    def _copy(self) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        # Else the unmount would happen to everybody, where the original is shared.
        mounts.make_private(self._around, recursive=True)
        mounts.unmount(self._hidden, lazy=True)

    def _enter_kept(self) -> None:
        with self._making:
            if self._kept is None:
                self._copy()
                self._kept = _namespace(), _root()
                return
        _enter(*self._kept)

    def close(self) -> None:
        """Close the descriptors of the namespaces."""
        for descriptor in (self._home, self._root, *(self._kept or ())):
            os.close(descriptor)


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _root() -> int:
    return os.open("/", os.O_PATH | os.O_CLOEXEC)


def _enter(namespace: int, root: int) -> None:
    syscalls.setns(namespace, syscalls.CLONE_NEWNS)
    # That also led to the root of the whole namespace; mind a chroot.
    os.fchdir(root)
    os.chroot(".")


def _start(
    view: MountView | None, kept_view: bool, argv: Sequence[Argument], **options: Any
) -> Popen:
    """Start a program from the calling thread, which must be one's own if there is a view."""
    with view.entered(kept=kept_view) if view is not None else contextlib.nullcontext():
        return subprocess.Popen(list(argv), **options)


def spawn(
    argv: Sequence[Argument],
    *,
    stdin: Stream = _DEVNULL,
    stdout: Stream = _DEVNULL,
    stderr: Stream = _DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    pass_fds: Collection[int] = (),
    start_new_session: bool = False,
    view: MountView | None = None,
) -> Popen:
    """Start a program and do not wait for it.

    Raises:
        OSError: it could not be started, such as ``FileNotFoundError``.
    """
    start = partial(
        _start,
        view,
        False,
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=start_new_session,
        bufsize=0,
    )
    return start() if view is None else run_in_thread(start, "palan-spawn")


def _memory_file(content: bytes = b"") -> int:
    try:
        fd = os.memfd_create("palan", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError:
        fd = os.memfd_create("palan", os.MFD_CLOEXEC)
    if content:
        with open(fd, "wb", buffering=0, closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _contents(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0) if size else b""


class _Streams:
    """The three streams of a program, as memory files."""

    __slots__ = ("_stderr", "_stdin", "_stdout")

    def __init__(self, content: bytes | None) -> None:
        self._stdin = _DEVNULL if content is None else _memory_file(content)
        self._stdout = _memory_file()
        self._stderr = _memory_file()

    def options(self) -> dict[str, Any]:
        return {"stdin": self._stdin, "stdout": self._stdout, "stderr": self._stderr}

    def completed(self, returncode: int) -> Completed:
        return Completed(returncode, _contents(self._stdout), _contents(self._stderr))

    def close(self) -> None:
        for fd in (self._stdin, self._stdout, self._stderr):
            if fd >= 0:
                os.close(fd)


def run(
    argv: Sequence[Argument],
    *,
    input: bytes | None = None,  # noqa: A002 - as in subprocess.run
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    pass_fds: Collection[int] = (),
    view: MountView | None = None,
) -> Completed:
    """Run a program to its end.

    Args:
        argv: the program, looked for on ``PATH``, and its arguments.
        input: what it reads from stdin.
        timeout: seconds after which it is killed.
        env: its environment; None for ours.
        cwd: its working directory.
        pass_fds: descriptors it keeps, under the same numbers.
        view: the mounts it sees; None for ours.

    Raises:
        OSError: it could not be started.
        TimeoutError: it took too long.
    """
    streams = _Streams(input)
    try:
        with spawn(
            argv, **streams.options(), env=env, cwd=cwd, pass_fds=pass_fds, view=view
        ) as process:
            try:
                returncode = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimeoutError(f"{os.fsdecode(argv[0])} took over {timeout} s") from None
        return streams.completed(returncode)
    finally:
        streams.close()


class Process:
    """A program started on behalf of the event loop, which notices its end by itself.

    Attributes:
        pid: its process id.
        stdin: our end, where a pipe was asked for; likewise ``stdout`` and ``stderr``.
    """

    def __init__(self, popen: Popen, loop: asyncio.AbstractEventLoop) -> None:
        self.pid: int = popen.pid
        self.stdin = popen.stdin
        self.stdout = popen.stdout
        self.stderr = popen.stderr
        self._popen = popen
        self._loop = loop
        self._ended: asyncio.Future[int] = loop.create_future()
        try:
            self._pidfd = os.pidfd_open(popen.pid)
        except OSError:  # before Linux 5.3, or under a filter that does not know it
            waited = loop.run_in_executor(None, popen.wait)
            waited.add_done_callback(lambda _: self._note_end())
        else:
            loop.add_reader(self._pidfd, self._at_end)

    def _at_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._note_end()

    def _note_end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(self._popen.returncode)

    @property
    def returncode(self) -> int | None:
        """The exit code, or a signal's number negated; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if not self._ended.done():
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        if not self._ended.done():
            self._popen.kill()


class Spawner:
    """Starts programs for the event loop, all directly or all in a view.

    Starting is done by threads of its own, waiting by the loop.

    Args:
        view: the mounts that the programs see; None for ours.  Closed with the spawner.
        workers: how many programs can be in the middle of being started.
    """

    def __init__(self, view: MountView | None = None, *, workers: int = 4) -> None:
        self._view = view
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="palan-spawn")

    async def spawn(
        self,
        argv: Sequence[Argument],
        *,
        stdin: Stream = _DEVNULL,
        stdout: Stream = _DEVNULL,
        stderr: Stream = _DEVNULL,
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        pass_fds: Collection[int] = (),
        start_new_session: bool = False,
        kept_view: bool = False,
    ) -> Process:
        """Start a program.  When the caller is cancelled meanwhile, it is killed.

        Args:
            argv: as all others, see :func:`spawn`.
            stdin: likewise.
            stdout: likewise.
            stderr: likewise.
            env: likewise.
            cwd: likewise.
            pass_fds: likewise.
            start_new_session: likewise.
            kept_view: it can do without what was mounted since the first one was started so,
                except below shared mounts; that saves copying all mounts.

        Raises:
            OSError: it could not be started.
        """
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(
            self._threads,
            partial(
                _start,
                self._view,
                kept_view,
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=start_new_session,
                bufsize=0,
            ),
        )
        try:
            popen = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The caller may close descriptors that are just being inherited: hold it.
            while not starting.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([starting])
            _abandon(loop, starting)
            raise
        return Process(popen, loop)

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        input: bytes | None = None,  # noqa: A002 - as in subprocess.run
        timeout: float | None = None,  # noqa: ASYNC109 - the program is to be killed then
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        pass_fds: Collection[int] = (),
        kept_view: bool = False,
    ) -> Completed:
        """Run a program to its end; see :func:`run`.  It is killed when the caller is cancelled.

        Raises:
            OSError: it could not be started.
            TimeoutError: it took too long.
        """
        streams = _Streams(input)
        try:
            process = await self.spawn(
                argv,
                **streams.options(),
                env=env,
                cwd=cwd,
                pass_fds=pass_fds,
                kept_view=kept_view,
            )
            try:
                async with asyncio.timeout(timeout):
                    returncode = await process.wait()
            except TimeoutError:
                await _end(process)
                raise TimeoutError(f"{os.fsdecode(argv[0])} took over {timeout} s") from None
            except asyncio.CancelledError:
                await _end(process)
                raise
            return streams.completed(returncode)
        finally:
            streams.close()

    def close(self) -> None:
        """End its threads; programs that run go on."""
        self._threads.shutdown()
        if self._view is not None:
            self._view.close()


async def _end(process: Process) -> None:
    """Kill a program and reap it, unless it hangs in the kernel: then that happens later."""
    process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()


def _abandon(loop: asyncio.AbstractEventLoop, starting: asyncio.Future[Popen]) -> None:
    """Kill, and reap, a program that nobody waits for any more."""
    if starting.cancelled() or starting.exception() is not None:
        return
    popen = starting.result()
    for end in (popen.stdin, popen.stdout, popen.stderr):
        if end is not None:
            end.close()
    Process(popen, loop).kill()
