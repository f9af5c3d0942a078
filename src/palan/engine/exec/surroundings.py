"""Protocols of what execs need from the rest of the engine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from palan.engine.background import Background
from palan.engine.events import Publisher
from palan.engine.oci.host import Host
from palan.host.conmon import ExecPlan, Monitored
from palan.host.oci_runtime import OCIRuntime


__all__ = ["Surroundings", "Target", "TargetProcess", "TargetUser"]


class TargetUser(Protocol):
    """A user that was found in a container's passwd and group files."""

    @property
    def uid(self) -> int:
        """The user id."""

    @property
    def gid(self) -> int:
        """The primary group id."""

    @property
    def groups(self) -> tuple[int, ...]:
        """The additional group ids."""

    @property
    def home(self) -> str:
        """The home directory."""


class TargetProcess(Protocol):
    """The first process of a container."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def start_time(self) -> int:
        """Clock ticks between boot and its start, which tell it from a later process."""


class Target(Protocol):
    """A container, as far as execs need it."""

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def name(self) -> str:
        """The container's name, without a slash."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes of every event of the container."""

    @property
    def lock(self) -> asyncio.Lock:
        """The lock that is held while the container's state changes."""

    @property
    def running(self) -> bool:
        """Whether the container has processes, paused ones included."""

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""

    @property
    def ending(self) -> bool:
        """Whether its first process has ended, and its resources are being removed."""

    @property
    def process(self) -> TargetProcess | None:
        """The container's first process, while it has one."""

    @property
    def runtime(self) -> str:
        """The name of the container's OCI runtime."""

    @property
    def hostname(self) -> str:
        """The configured host name."""

    def environment(self) -> Sequence[str]:
        """Return the variables that the container gives to all of its processes."""

    def user(self, name: str, /) -> TargetUser:
        """Find a user in the container; an empty name is the container's own.  Blocking.

        Raises:
            InvalidParameter: there is no such user.
            OSError: the container's files are gone.
        """

    async def wait(self) -> None:
        """Wait for the end of the container's first process, if the engine watches it."""


class ExecContainers(Protocol):
    """The containers."""

    def exec_target(self, reference: str, /) -> Target:
        """Return the container of that id, name or beginning of an id.

        Raises:
            NotFound: there is no such container.
        """


class ExecRuntimes(Protocol):
    """The OCI runtimes, which start processes in containers."""

    def get(self, name: str, /) -> OCIRuntime:
        """Return the runtime of that name.

        Raises:
            Unavailable: it does not work.
        """

    async def exec(
        self,
        runtime: OCIRuntime,
        plan: ExecPlan,
        program: str,
        ready: Callable[[], Awaitable[None]],
    ) -> Monitored:
        """Run a process in a running container.

        Args:
            runtime: the container's runtime.
            plan: the process.
            program: its first argument, for messages.
            ready: connects the clients, before the process runs.

        Raises:
            StartFailure: the program can't be run, in dockerd's words.
        """


class ExecMachine(Protocol):
    """The machine."""

    @property
    def host(self) -> Host:
        """The facts that runtime specs depend on."""


class ExecPaths(Protocol):
    """The directories of running containers."""

    def bundle(self, container_id: str, /) -> Path:
        """Return the directory with the container's ``config.json`` and execs."""


class Surroundings(Background, Protocol):
    """The parts of the engine that execs use."""

    @property
    def containers(self) -> ExecContainers:
        """The containers."""

    @property
    def runtimes(self) -> ExecRuntimes:
        """The OCI runtimes."""

    @property
    def machine(self) -> ExecMachine:
        """The machine."""

    @property
    def paths(self) -> ExecPaths:
        """The directories of running containers."""

    @property
    def events(self) -> Publisher:
        """The event journal."""
