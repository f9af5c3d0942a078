"""An OCI runtime: crun, runc, or another program with the same commands.

A runtime is not a daemon: it is started for each command and keeps its state in a directory
(``--root``). Two of its commands need only a few system calls, whereas starting a process takes
4 to 15 ms. Both are implemented here for crun and runc, and left to the program if anything looks
different from what is expected:

* ``start``: a created container waits at ``exec.fifo``. runc's init blocks in opening it for
  writing and needs a reader (which then removes the fifo); crun's has it open for reading and
  needs a byte.
* ``delete`` of a container that has ended: remove its cgroups and its state directory. Not if
  there are hooks to run, or systemd units to stop.

conmon (:mod:`palan.host.conmon`) runs the commands ``create`` and ``exec``, because it has to
hold the container's streams.

crun copies its own binary at every start, as a protection against containers that would
overwrite it, unless it is on a read-only mount: :func:`read_only_copy` makes one, which saves 2
to 3 ms each time.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from palan.host import cgroups, mounts, processes
from palan.host.spawn import Completed, Spawner


__all__ = ["Kind", "OCIRuntime", "RuntimeFailure", "find_programs", "kind_of", "read_only_copy"]

Kind = Literal["crun", "runc", "other"]

_TIMEOUT: Final = 30.0
_CHECKPOINT_TIMEOUT: Final = 600.0
_FIFO_TIMEOUT_MS: Final = 2000
_DIRECTORIES: Final = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec",
    "/usr/lib/podman",
)


class RuntimeFailure(Exception):
    """A command of a runtime failed.

    Attributes:
        message: its own error message, without timestamp and level.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Return the programs that exist, on ``PATH`` and in libexec directories of distributions."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_DIRECTORIES))
    found = ((name, shutil.which(name, path=path)) for name in names)
    return {name: Path(where) for name, where in found if where is not None}


def kind_of(version: str) -> Kind:
    """Identify a runtime by its version output."""
    words = version.split()
    name = words[0] if words else ""
    return "crun" if name == "crun" else "runc" if name == "runc" else "other"


def read_only_copy(program: Path, directory: Path) -> Path:
    """Bind mount a program read-only below ``directory`` and return its path there.

    The mount stays. The call is idempotent, also after an update of the program.

    Raises:
        OSError: the mount failed.
    """
    copy = directory / program.name
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if copy.exists() and mounts.is_mount_point(copy):
        if copy.samefile(program):
            return copy
        mounts.unmount(copy, lazy=True)
    copy.touch(mode=0o755)
    mounts.bind(program, copy, readonly=True, recursive=False, propagation="private")
    return copy


def _words(completed: Completed) -> str:
    """Return the error message of a failed command."""
    text = completed.stderr.decode(errors="replace").strip()
    last = text.rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        entry = json.loads(last)
        if isinstance(entry, dict) and isinstance(entry.get("msg"), str):
            return str(entry["msg"])
    return text or f"exit status {completed.returncode}"


@dataclass(frozen=True, slots=True)
class _State:
    """The part of a runtime's state that is needed to delete a container."""

    cgroups: tuple[Path, ...]
    freezer: Path | None


class OCIRuntime:
    """A runtime that works on this machine.

    Args:
        name: its name in Docker's API.
        path: the program.
        root: its state directory.
        spawner: starts it, with a view of the mounts in which it works.
        version: its version output.
        options: global options, such as ``--systemd-cgroup``.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        root: Path,
        spawner: Spawner,
        *,
        version: str = "",
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.path = path
        self.root = root
        self.spawner = spawner
        self.version = version
        self.options = tuple(options)
        self.kind: Kind = kind_of(version)
        self._cgroups = cgroups.detect()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The global options of every command."""
        return (f"--root={self.root}", *self.options)

    async def _run(
        self,
        *command: str,
        content: bytes | None = None,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - the program is killed at the timeout
    ) -> bytes:
        completed = await self.spawner.run(
            [self.path, *self.arguments, "--log-format=json", *command],
            input=content,
            timeout=timeout,
            cached_view=True,
        )
        if completed.returncode:
            raise RuntimeFailure(_words(completed))
        return completed.stdout

    # ---- commands ---------------------------------------------------------------

    async def start(self, container: str) -> None:
        """Start the program of a created container.

        Raises:
            RuntimeFailure: the container does not exist, or is not waiting.
        """
        if self.kind == "crun" and self._release_crun(container):
            return
        if self.kind == "runc" and await self._release_runc(container):
            return
        await self._run("start", container)

    async def kill(self, container: str, signal: int, *, all_processes: bool = False) -> None:
        """Send a signal to a container's first process, or to all of them.

        Raises:
            RuntimeFailure: the container is not running.
        """
        await self._run("kill", *(["--all"] if all_processes else []), container, str(int(signal)))

    async def delete(self, container: str, *, force: bool = False) -> None:
        """Remove the state of a container; an unknown container is ignored.

        Args:
            container: its id.
            force: kill running processes; otherwise the first process must have ended.

        Raises:
            RuntimeFailure: the container is running, or cannot be removed.
        """
        if not (self.root / container).exists():
            return
        if not force and await asyncio.to_thread(self._remove, container):
            return
        try:
            await self._run("delete", *(["--force"] if force else []), container)
        except RuntimeFailure:
            if (self.root / container).exists():
                raise

    async def state(self, container: str) -> dict[str, Any]:
        """Return the state of a container (OCI runtime specification, "State").

        Raises:
            RuntimeFailure: the runtime does not know the container.
        """
        found: dict[str, Any] = json.loads(await self._run("state", container))
        return found

    async def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        await self._run("pause", container)

    async def resume(self, container: str) -> None:
        """Thaw a frozen container."""
        await self._run("resume", container)

    async def checkpoint(
        self, container: str, images: Path, *, bundle: Path, keep_running: bool
    ) -> None:
        """Write the state of a container's processes to disk, with criu.

        Args:
            container: its id.
            images: an empty directory for criu's images.
            bundle: the directory for criu's log.
            keep_running: leave the processes running; otherwise they are killed.

        Raises:
            RuntimeFailure: the checkpoint failed.
        """
        options = [f"--image-path={images}", f"--work-path={bundle}"]
        await self._run(
            "checkpoint",
            *options,
            *(["--leave-running"] if keep_running else []),
            container,
            timeout=_CHECKPOINT_TIMEOUT,
        )

    async def update(self, container: str, resources: Mapping[str, Any]) -> None:
        """Change the limits of a running container.

        Args:
            container: its id.
            resources: ``linux.resources`` of the OCI runtime specification.

        Raises:
            RuntimeFailure: the kernel rejected a limit.
        """
        content = json.dumps(resources).encode()
        await self._run("update", "--resources=-", container, content=content)

    async def features(self) -> dict[str, Any]:
        """Return the runtime's features; {} if it is too old to list them."""
        try:
            found = json.loads(await self._run("features"))
        except (RuntimeFailure, ValueError, OSError, TimeoutError):
            return {}
        return found if isinstance(found, dict) else {}

    def containers(self) -> list[str]:
        """Return the ids of all containers in its state directory. Blocking."""
        try:
            with os.scandir(self.root) as entries:
                return [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
        except FileNotFoundError:
            return []

    # ---- start, without the program ---------------------------------------------

    def _release_crun(self, container: str) -> bool:
        path = self.root / container / "exec.fifo"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # ENXIO: it has no reader (yet)
        try:
            path.unlink()  # first, like crun: no fifo means "started" to other commands
            os.write(fd, b"\0")
        finally:
            os.close(fd)
        return True

    async def _release_runc(self, container: str) -> bool:
        path = self.root / container / "exec.fifo"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            # The container opens the fifo within 0.1 ms, unless the machine is busy.
            if not (poll.poll(1) or await asyncio.to_thread(poll.poll, _FIFO_TIMEOUT_MS)):
                return False
            if os.read(fd, 16) != b"0":
                return False
            path.unlink(missing_ok=True)
        finally:
            os.close(fd)
        return True

    # ---- delete, without the program ----------------------------------------------

    def _remove(self, container: str) -> bool:
        """Delete a container; return False if that needs the program. Blocking."""
        try:
            state = self._load_state(container)
        except (OSError, ValueError, LookupError, TypeError):
            return False
        if state is None:
            return False
        # In a container with the host's PID namespace, processes outlive the first one.
        if state.freezer is not None and not cgroups.kill_all(state.freezer):
            return False
        if cgroups.remove(state.cgroups):
            return False
        shutil.rmtree(self.root / container, ignore_errors=True)
        return True

    def _load_state(self, container: str) -> _State | None:
        directory = self.root / container
        if self.kind == "crun":
            status = json.loads((directory / "status").read_bytes())
            config = json.loads((directory / "config.json").read_bytes())
            paths = self._cgroups.directories(status["cgroup-path"])
            known = not status["systemd-cgroup"] and not status.get("intelrdt")
            pid, started = status["pid"], status["process-start-time"]
        elif self.kind == "runc":
            status = json.loads((directory / "state.json").read_bytes())
            config = status["config"]
            paths = [Path(path) for path in status["cgroup_paths"].values()]
            known = not status.get("intel_rdt_path") and not status.get("rootless")
            known = known and not config["cgroups"].get("Systemd")
            pid, started = status["init_process_pid"], status["init_process_start"]
        else:
            return None
        hooks = config.get("hooks") or config.get("Hooks") or {}
        if not known or any(hooks.values()) or not paths or processes.is_alive(pid, started):
            return None
        freezer = next((path for path in paths if path.parts[4:5] == ("freezer",)), None)
        return _State(tuple(paths), freezer or (paths[0] if len(paths) == 1 else None))
