"""A container in memory: its record, and its state while the engine runs.

A task that changes a container holds its :attr:`Container.lock`.  The locks of the firewall,
of the volumes and of the image catalog may be taken while it is held, never before it.
Reading needs no lock.
"""

import asyncio

from palan.api.errors import PalanError
from palan.engine.containers.health import HealthRecord
from palan.engine.containers.record import ContainerRecord
from palan.engine.streams.attach import AttachPoint
from palan.engine.timestamps import go_time
from palan.host.conmon import Monitored


__all__ = ["Container", "go_time"]


class Container:
    """One container."""

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.removed = False
        config = record.config
        self.streams = AttachPoint(
            tty=config.tty, stdin=config.open_stdin, stdin_once=config.stdin_once
        )
        self.ended = asyncio.Event()
        """Set while no conmon writes the container's log; another one for each run."""
        self.ended.set()
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The exit code of the next exit; replaced by a new future at each exit."""
        self.removal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The last exit code, once the container is removed."""
        self.monitored: Monitored | None = None
        """The process and its conmon, while it runs."""
        self.ending = False
        """Whether its process has ended, and its resources are being removed."""
        self.restarting = 0
        """The number of clients that are restarting it, so it must not be removed in between."""
        self.health: HealthRecord | None = None
        """The results of its health checks; None without checks, or before its first start."""
        self.checks: asyncio.Task[None] | None = None
        """The task that makes the health checks, while they are made."""
        self.commit_freezes = 0
        """The number of commits that have its processes frozen."""
        self.ran: int | None = None
        """Nanoseconds from its last start to its end; None if it ended while no engine ran."""
        self.restart_delay = 0.0
        """Seconds that a restart policy waits before the next restart."""

    def resolve_exit(self, code: int) -> None:
        """Resolve :attr:`exit` with the exit code, and make a future for the next exit."""
        exited, self.exit = self.exit, asyncio.get_running_loop().create_future()
        exited.set_result(code)

    def resolve_removal(self, result: int | PalanError) -> None:
        """Resolve :attr:`removal` with the last exit code, or with the reason of a failure.

        A removal that has failed may be tried again.
        """
        if isinstance(result, int):
            self.removal.set_result(result)
            return
        removal, self.removal = self.removal, asyncio.get_running_loop().create_future()
        removal.set_exception(result)
        removal.exception()  # without this, asyncio logs one that no task waits for

    @property
    def id(self) -> str:
        """The id, 64 hex digits."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name, without Docker's leading slash."""
        return self.record.name

    @property
    def lasted(self) -> int:
        """Nanoseconds from its start to its end.

        By a monotonic clock, unless it ended while no engine ran.
        """
        if self.ran is not None:
            return self.ran
        return self.record.finished - self.record.started

    @property
    def image_reference(self) -> str:
        """The image that it is made of, as the client named it."""
        return self.record.config.image

    @property
    def running(self) -> bool:
        """Whether it has processes; a paused container is running too, as in Docker."""
        return self.record.status in ("running", "paused")

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.record.status == "paused"

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of every event of this container."""
        config = self.record.config
        return {**(config.labels or {}), "image": config.image, "name": self.name}
