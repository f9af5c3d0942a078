"""One engine for each data root: locks and the pid file.

The locks decide: the kernel releases them when the process ends, however it ends.
The pid file informs service managers and people.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from palan.atomic_file import atomic_file
from palan.engine.paths import Paths


__all__ = ["InUseError", "lock_roots", "pid_file"]


class InUseError(Exception):
    """Another process uses a directory, socket or pid file that this one needs."""


@contextmanager
def lock_roots(paths: Paths) -> Iterator[None]:
    """Lock the data root and the exec root against other engines.

    Raises:
        InUseError: another engine uses one of them.
    """
    with (
        _locked(paths.lock, f"data root {paths.data_root}"),
        _locked(paths.exec_lock, f"exec root {paths.exec_root}"),
    ):
        yield


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    # A POSIX lock, not flock(2): a child that was forked does not inherit it.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise InUseError(f"{what} is in use by process {holder or 'unknown'}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Keep this process's id in a file.

    Args:
        path: the file; None writes no file.

    Raises:
        InUseError: the file names a process that is alive and as old as the file.
    """
    if path is None:
        yield
        return
    holder = _holder(path)
    if holder is not None:
        raise InUseError(
            f"failed to start the engine, ensure palan is not running or delete {path}: "
            f"process with PID {holder} is still running"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, mode=0o644) as file:
        file.write(f"{os.getpid()}\n".encode())
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if int(path.read_text()) == os.getpid():
                path.unlink()


def _holder(path: Path) -> int | None:
    try:
        pid = int(path.read_text())
        written = path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if pid <= 0 or pid == os.getpid():
        return None
    started = _started(pid)
    # A process that began after the file was written only reuses the pid of the one that wrote it.
    return pid if started is not None and started <= written + 1 else None


def _started(pid: int) -> float | None:
    """Return a process's start in seconds since the epoch, or None if absent. See proc(5)."""
    try:
        # The program's name, in parentheses, may contain anything: count from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
    except (OSError, StopIteration):
        return None
    if fields[0] == "Z":
        return None
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
