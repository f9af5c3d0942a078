"""An OCI runtime: crun, runc, or another program with the same commands.

A runtime is not running while its containers are: it is started for each command, and
remembers in its state directory (``--root``).  Two of its commands only do what takes us
a few system calls, and a process takes 4 to 15 ms.  Both are known by heart here for crun
and runc, and left to the program where anything looks different:

* ``start``: a created container waits at ``exec.fifo``.  runc's blocks in opening it for
  writing and wants a reader (and to find out that the fifo is removed); crun's has it
  open for reading and wants a byte.
* ``delete`` of a container whose processes have ended: remove its cgroups and its
  directory.  Not where there are hooks to run, or systemd's units to stop.

Making a container (``create``, ``exec``) is conmon's affair (:mod:`palan.host.conmon`),
as it must hold the container's streams.

crun copies itself at every start, against containers that would overwrite it, unless it
lies on a read-only mount: :func:`read_only_copy` makes one, which saves 2 to 3 ms each time.
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
    """A runtime could not do what it was told.

    Attributes:
        message: its own words, without what a log puts around them.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Which of the programs there are, on ``PATH`` and where distributions hide them."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_DIRECTORIES))
    found = ((name, shutil.which(name, path=path)) for name in names)
    return {name: Path(where) for name, where in found if where is not None}


def kind_of(version: str) -> Kind:
    """Which program it is, by what it says of its version."""
    words = version.split()
    name = words[0] if words else ""
    return "crun" if name == "crun" else "runc" if name == "runc" else "other"


def read_only_copy(program: Path, directory: Path) -> Path:
    """Show a program on a read-only mount below ``directory``; the path of it there.

    The mount stays; doing it again is well, also after the program was updated.

    Raises:
        OSError: it cannot be mounted.
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
    """What a runtime has to say about its failure."""
    text = completed.stderr.decode(errors="replace").strip()
    last = text.rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        entry = json.loads(last)
        if isinstance(entry, dict) and isinstance(entry.get("msg"), str):
            return str(entry["msg"])
    return text or f"exit status {completed.returncode}"


@dataclass(frozen=True, slots=True)
class _State:
    """What a runtime remembers of a container, as far as deleting it needs that."""

    cgroups: tuple[Path, ...]
    freezer: Path | None


class OCIRuntime:
    """A runtime that was found to work here.

    Args:
        name: what it is called in Docker's API.
        path: the program.
        root: its state directory.
        spawner: starts it, in a view of the mounts in which it works.
        version: what it says of itself.
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
        """The global options, for every command."""
        return (f"--root={self.root}", *self.options)

    async def _run(
        self,
        *command: str,
        content: bytes | None = None,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - the program is to be killed then
    ) -> bytes:
        completed = await self.spawner.run(
            [self.path, *self.arguments, "--log-format=json", *command],
            input=content,
            timeout=timeout,
            kept_view=True,
        )
        if completed.returncode:
            raise RuntimeFailure(_words(completed))
        return completed.stdout

    # ---- commands ---------------------------------------------------------------

    async def start(self, container: str) -> None:
        """Let a created container run its program.

        Raises:
            RuntimeFailure: it is not there, or not waiting.
        """
        if self.kind == "crun" and self._release_crun(container):
            return
        if self.kind == "runc" and await self._release_runc(container):
            return
        await self._run("start", container)

    async def kill(self, container: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to a container's first process, or to all of them.

        Raises:
            RuntimeFailure: it is not running.
        """
        await self._run("kill", *(["--all"] if everyone else []), container, str(int(signal)))

    async def delete(self, container: str, *, force: bool = False) -> None:
        """Remove what is left of a container; one that is not known is well.

        Args:
            container: its id.
            force: kill what still runs.  Without, its first process must have ended.

        Raises:
            RuntimeFailure: it still runs, or cannot be removed.
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
        """What the runtime tells of a container (OCI runtime specification, "State").

        Raises:
            RuntimeFailure: it does not know it.
        """
        found: dict[str, Any] = json.loads(await self._run("state", container))
        return found

    async def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        await self._run("pause", container)

    async def resume(self, container: str) -> None:
        """Let a frozen container go on."""
        await self._run("resume", container)

    async def checkpoint(self, container: str, images: Path, *, bundle: Path, leave: bool) -> None:
        """Freeze the processes of a container onto disk, by criu.

        Args:
            container: its id.
            images: an empty directory for what criu writes.
            bundle: where criu puts its log.
            leave: whether the processes go on; else they are killed.

        Raises:
            RuntimeFailure: it can't be.
        """
        options = [f"--image-path={images}", f"--work-path={bundle}"]
        await self._run(
            "checkpoint",
            *options,
            *(["--leave-running"] if leave else []),
            container,
            timeout=_CHECKPOINT_TIMEOUT,
        )

    async def update(self, container: str, resources: Mapping[str, Any]) -> None:
        """Change the limits of a running container.

        Args:
            container: its id.
            resources: ``linux.resources`` of the OCI runtime specification.

        Raises:
            RuntimeFailure: the kernel does not take them.
        """
        content = json.dumps(resources).encode()
        await self._run("update", "--resources=-", container, content=content)

    async def features(self) -> dict[str, Any]:
        """What the runtime can do; empty for one too old to tell."""
        try:
            found = json.loads(await self._run("features"))
        except (RuntimeFailure, ValueError, OSError, TimeoutError):
            return {}
        return found if isinstance(found, dict) else {}

    def containers(self) -> list[str]:
        """The ids of all containers that it remembers.  Blocking."""
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
            return False  # ENXIO: nobody reads it (yet)
        try:
            path.unlink()  # first, as crun does: it means "started" to all other commands
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
            # The container answers within 0.1 ms, unless the machine is busy.
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
        """Do what ``delete`` does; False where that is more than we know of.  Blocking."""
        try:
            state = self._load_state(container)
        except (OSError, ValueError, LookupError, TypeError):
            return False
        if state is None:
            return False
        # Processes of a container with the host's process ids outlive the first one.
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
