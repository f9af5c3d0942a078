"""A container as the engine holds it: the durable record and what is alive of it.

Whoever changes a container holds its :attr:`Container.lock`; there is no lock above
that one, but some below (the rules', the volumes', the image catalog's).  Everybody may read.
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
        """Set while no conmon writes its log."""
        self.ended.set()
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The next exit; replaced by a new one each time."""
        self.removal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolved with the last exit code once the container is gone."""
        self.monitored: Monitored | None = None
        """The process and its conmon, while it runs."""
        self.ending = False
        """Its process has ended, and what it had is being taken away."""
        self.restarting = 0
        """How many clients are about to start it again: it is not to be removed in between."""
        self.health: HealthRecord | None = None
        """What its checks have found; None without checks, or before its first start."""
        self.checks: asyncio.Task[None] | None = None
        """What makes the checks, while they are made."""
        self.held_still = 0
        """How many commits have frozen its processes for a while."""
        self.ran: int | None = None
        """Nanoseconds from its last start to its end, unless the engine was not there."""
        self.restart_delay = 0.0
        """Seconds that a restart policy waits next time."""

    def resolve_exit(self, code: int) -> None:
        """Answer those who wait for the exit; the next one is another."""
        exited, self.exit = self.exit, asyncio.get_running_loop().create_future()
        exited.set_result(code)

    def resolve_removal(self, result: int | PalanError) -> None:
        """Answer those who wait for the removal, with the last exit code or why it failed.

        One that has failed may be tried again.
        """
        if isinstance(result, int):
            self.removal.set_result(result)
            return
        removal, self.removal = self.removal, asyncio.get_running_loop().create_future()
        removal.set_exception(result)
        removal.exception()  # often nobody waits for it

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name, without Docker's leading slash."""
        return self.record.name

    @property
    def lasted(self) -> int:
        """Nanoseconds from its start to its end.

        By a clock that nobody sets, unless it ended while there was no engine.
        """
        if self.ran is not None:
            return self.ran
        return self.record.finished - self.record.started

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
        """What every event of this container says about it."""
        config = self.record.config
        return {**(config.labels or {}), "image": config.image, "name": self.name}
