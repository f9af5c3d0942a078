"""Start programs of the host, directly or in another view of the mounts.

Programs get a null device as stdin, no descriptors but those named, and ``/`` as working
directory. The output of :func:`run` goes to memory files instead of pipes: nothing has to be read
while the program is running, and a daemon that it leaves behind with open output (conmon, a
container's first process) does not delay the end.

A *view* is a private copy of the mount namespace in which something is replaced or unmounted. In
a :class:`RuntimeView` the null device is one of its own, and cgroup v2 is hidden on a hybrid
machine, because crun refuses a machine that has both generations mounted. The thread that starts
the program makes the copy, a new one for each program: it includes all present mounts, and does
not keep earlier ones busy. It exists as long as the program and its children, so mounts for
containers should lie below a shared mount (see :func:`palan.host.mounts.ensure_shared`) from which
a later unmount propagates to the copies.
"""

import asyncio
import contextlib
import os
import stat
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
    "HYBRID_CGROUP2",
    "Completed",
    "MountView",
    "Process",
    "RuntimeView",
    "Spawner",
    "run",
    "spawn",
]

Argument = str | bytes | os.PathLike[str]
Stream = int | IO[Any] | None
"""A standard stream of a program, as for :class:`subprocess.Popen`."""

Popen = subprocess.Popen[bytes]

_DEVNULL: Final = subprocess.DEVNULL
HYBRID_CGROUP2: Final = Path("/sys/fs/cgroup/unified")
"""The mount point of cgroup v2 on a machine that has cgroup v1 as well."""

_NULL: Final = "/dev/null"
_GRACE: Final = 1.0  # seconds until a killed program has ended
_MFD_NOEXEC_SEAL: Final = 0x8  # Linux 6.3, which a machine may require


class Completed(NamedTuple):
    """The result of a program.

    Attributes:
        returncode: its exit code; the negated signal number if a signal ended it.
        stdout: its whole output.
        stderr: its whole error output.
    """

    returncode: int
    stdout: bytes
    stderr: bytes


class MountView(Protocol):
    """Another view of the host's mounts, in which programs are started."""

    def entered(self, *, cached: bool = False) -> contextlib.AbstractContextManager[None]:
        """Move the calling thread, and programs it starts, into the view.

        The thread must be dedicated to this.

        Args:
            cached: an earlier copy is acceptable, which may lack recent mounts.
        """

    def close(self) -> None:
        """Release the resources of the view."""


class RuntimeView:
    """The mounts of the host as OCI runtimes and conmon see them.

    ``/dev/null`` is a device node of the view's own, on a read-only mount. Containers get it as
    their stdin, and crun binds it over files that it masks; some versions also change its owner
    to the container's user. With the host's node, a container could take it from everybody.

    Programs in the view also get a session keyring of their own, because crun does not give one
    to an exec'd process, which would have the keys of whoever started the engine.

    Programs in the view see a copy of the mount namespace. The kernel has to copy every mount, of
    which running containers have three each, and repeats each mount and unmount below a shared
    mount in every copy. So one copy is cached for all programs that do not need mounts made a
    moment ago.

    Args:
        hidden: the mount point of the cgroup v2 hierarchy of a hybrid machine, which is unmounted
            in the view; None on other machines.
    """

    def __init__(self, hidden: Path | None = None) -> None:
        self._hidden = hidden
        self._home, self._root = _namespace(), _root()
        self._cached: tuple[int, int] | None = None
        self._making = threading.Lock()
        self._own = threading.local()

    @contextlib.contextmanager
    def entered(self, *, cached: bool = False) -> Iterator[None]:
        """Move the calling thread into a copy, and back to its namespace in the end.

        Args:
            cached: use the cached copy instead of a new one. Of later mounts it has only those
                below shared mounts.
        """
        if not getattr(self._own, "unshared", False):
            # A thread that shares its root and working directory cannot change namespaces.
            syscalls.unshare(syscalls.CLONE_FS)
            self._own.unshared = True
        with contextlib.suppress(OSError):  # a kernel or a filter without keyrings
            syscalls.join_new_session_keyring()
        try:
            if cached:
                self._enter_cached()
            else:
                self._copy()
            yield
        finally:
            _enter(self._home, self._root)

    def _copy(self) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        _replace_null()
        if self._hidden is not None:
            # Otherwise the unmount would propagate to the original, if that is shared.
            mounts.make_private(self._hidden.parent, recursive=True)
            mounts.unmount(self._hidden, lazy=True)

    def _enter_cached(self) -> None:
        with self._making:
            if self._cached is None:
                self._copy()
                self._cached = _namespace(), _root()
                return
        _enter(*self._cached)

    def close(self) -> None:
        """Close the descriptors of the namespaces."""
        for descriptor in (self._home, self._root, *(self._cached or ())):
            os.close(descriptor)


def _replace_null() -> None:
    """Mount a device node of its own over ``/dev/null``, in a new mount namespace."""
    below = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        here = f"/proc/thread-self/fd/{below}"
        # Later mounts of the host still arrive here, but ours do not propagate to the host.
        mounts.make_slave(_mount_point_of_dev())
        mounts.mount("tmpfs", "/dev", "tmpfs", data="size=4k,nr_inodes=4,mode=755")
        try:
            mounts.bind(_own_null() or f"{here}/null", f"{here}/null", recursive=False)
        finally:
            mounts.unmount("/dev", lazy=True)
        mounts.make_readonly(_NULL, recursive=False)
    finally:
        os.close(below)


def _mount_point_of_dev() -> str:
    return "/dev" if mounts.is_mount_point("/dev") else "/"


def _own_null() -> str | None:
    """Make a null device; None in a user namespace, where that has no effect."""
    try:
        os.mknod(_NULL, stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(_NULL, 0o666)  # noqa: PTH101, S103 - whatever the umask is
        os.close(os.open(_NULL, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return None
    return _NULL


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _root() -> int:
    return os.open("/", os.O_PATH | os.O_CLOEXEC)


def _enter(namespace: int, root: int) -> None:
    syscalls.setns(namespace, syscalls.CLONE_NEWNS)
    # setns() changed to the root of the namespace; return to a possible chroot.
    os.fchdir(root)
    os.chroot(".")


def _start(
    view: MountView | None, cached_view: bool, argv: Sequence[Argument], **options: Any
) -> Popen:
    """Start a program from the calling thread; with a view, the thread must be dedicated to it."""
    with view.entered(cached=cached_view) if view is not None else contextlib.nullcontext():
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
    """Start a program without waiting for it.

    Raises:
        OSError: it could not be started, for example ``FileNotFoundError``.
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
    """The standard streams of a program, as memory files."""

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
    """Run a program and wait for its end.

    Args:
        argv: the program, searched on ``PATH``, and its arguments.
        input: its stdin.
        timeout: seconds after which it is killed.
        env: its environment; None for ours.
        cwd: its working directory.
        pass_fds: descriptors that it inherits, under the same numbers.
        view: the mounts that it sees; None for ours.

    Raises:
        OSError: it could not be started.
        TimeoutError: it ran longer than ``timeout``.
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
    """A program whose end is reported to the event loop.

    Attributes:
        pid: its process id.
        stdin: our end of a requested pipe; likewise ``stdout`` and ``stderr``.
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
        """The exit code, or a negated signal number; None while it is running."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send a signal if it is still running."""
        if not self._ended.done():
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Kill it if it is still running."""
        if not self._ended.done():
            self._popen.kill()


class Spawner:
    """Starts programs for the event loop, all directly or all in a view.

    Its own threads start the programs; the event loop waits for them.

    Args:
        view: the mounts that the programs see; None for ours. Closed with the spawner.
        workers: number of programs that can be started at the same time.
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
        cached_view: bool = False,
    ) -> Process:
        """Start a program. If the caller is cancelled in the meantime, it is killed.

        Args:
            argv: see :func:`spawn`, also for the other arguments.
            stdin: likewise.
            stdout: likewise.
            stderr: likewise.
            env: likewise.
            cwd: likewise.
            pass_fds: likewise.
            start_new_session: likewise.
            cached_view: the program needs no mounts made since the view was cached, except those
                below shared mounts; that saves copying all mounts.

        Raises:
            OSError: it could not be started.
        """
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(
            self._threads,
            partial(
                _start,
                self._view,
                cached_view,
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
            # Wait, because the caller may close descriptors that are being inherited.
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
        timeout: float | None = None,  # noqa: ASYNC109 - the program is killed at the timeout
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        pass_fds: Collection[int] = (),
        cached_view: bool = False,
    ) -> Completed:
        """Run a program and wait for its end; see :func:`run`. Cancelling the caller kills it.

        Raises:
            OSError: it could not be started.
            TimeoutError: it ran longer than ``timeout``.
        """
        streams = _Streams(input)
        try:
            process = await self.spawn(
                argv,
                **streams.options(),
                env=env,
                cwd=cwd,
                pass_fds=pass_fds,
                cached_view=cached_view,
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
        """Stop the threads; running programs continue."""
        self._threads.shutdown()
        if self._view is not None:
            self._view.close()


async def _end(process: Process) -> None:
    """Kill a program and reap it; if it hangs in the kernel, it is reaped later."""
    process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()


def _abandon(loop: asyncio.AbstractEventLoop, starting: asyncio.Future[Popen]) -> None:
    """Kill and reap a program after its caller was cancelled."""
    if starting.cancelled() or starting.exception() is not None:
        return
    popen = starting.result()
    for end in (popen.stdin, popen.stdout, popen.stderr):
        if end is not None:
            end.close()
    Process(popen, loop).kill()
