"""One exec: set up, running or ended."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable

from palan.api import UNSET
from palan.api.exec import ExecConfig, ExecInspectResponse, ProcessConfig
from palan.api.results import Session
from palan.engine.containers.container import Container
from palan.engine.containers.users import ResolvedUser
from palan.engine.oci.process import User
from palan.engine.streams.attach import AttachPoint, AttachSession
from palan.host.conmon import Monitored


__all__ = ["ExecInstance", "StartingSession"]


class ExecInstance:
    """A process that was set up in a container.

    It lives in memory only: after a restart of the engine its process goes on with its
    conmon, but it is not known by its id any more, as with dockerd.

    Attributes:
        started: somebody has asked for its start.
        finished: it has ended, or could not be started.
        exit_code: None until then.
        up: it runs, or has ended.
    """

    def __init__(
        self,
        exec_id: str,
        container: Container,
        config: ExecConfig,
        user: ResolvedUser,
        keys: bytes,
    ) -> None:
        self.id = exec_id
        self.container = container
        self.config = config
        self.user = User(user.uid, user.gid, user.groups)
        self.home = user.home
        self.keys = keys
        self.streams = AttachPoint(tty=config.tty, stdin=config.attach_stdin, stdin_once=True)
        self.started = False
        self.finished = False
        self.exit_code: int | None = None
        self.up = asyncio.Event()
        self.monitored: Monitored | None = None
        self.ended_at: float | None = None
        """Monotonic seconds; what has ended is forgotten some time later."""

    @property
    def command(self) -> str:
        """The command line as events show it; like dockerd's, a single word has a space behind."""
        program, *arguments = self.config.cmd or [""]
        return f"{program} {' '.join(arguments)}"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.monitored is not None and not self.finished

    def describe(self) -> ExecInspectResponse:
        """``GET /exec/{id}/json``."""
        program, *arguments = self.config.cmd or [""]
        return ExecInspectResponse(
            id=self.id,
            running=self.running,
            exit_code=self.exit_code,
            process_config=ProcessConfig(
                tty=self.config.tty,
                entrypoint=program,
                arguments=arguments,
                privileged=self.config.privileged,
                user=self.config.user or UNSET,
            ),
            open_stdin=self.config.attach_stdin,
            open_stderr=self.config.attach_stderr,
            open_stdout=self.config.attach_stdout,
            can_remove=False,
            container_id=self.container.id,
            detach_keys=b64encode(self.keys).decode() if self.config.detach_keys else "",
            pid=self.monitored.pid if self.monitored else 0,
        )


class StartingSession:
    """A session whose process is started when its client has been told of the stream.

    docker-py loses all output that reaches it together with the head of the answer, which
    is read through a buffer that it then goes around.  So the head has to be sent first,
    as dockerd does, and the process is slow enough to come after it.

    Args:
        session: the client's, on a process that is not there yet.
        start: starts it; returns what is to be shown instead of its output if it fails.
    """

    def __init__(
        self, session: AttachSession, start: Callable[[], Awaitable[Session | None]]
    ) -> None:
        self.tty = session.tty
        self._session = session
        self._start: Callable[[], Awaitable[Session | None]] | None = start

    async def output(self) -> AsyncIterator[bytes]:
        """Start the process, then its output."""
        complaint = await self._begin()
        output = (complaint or self._session).output()
        async with contextlib.aclosing(output) as chunks:  # type: ignore[type-var] # a generator
            async for chunk in chunks:
                yield chunk

    async def write(self, data: bytes) -> None:
        """Hand input to the process."""
        await self._session.write(data)

    async def close_input(self) -> None:
        """The client has no more input."""
        await self._session.close_input()

    async def close(self) -> None:
        """Detach; a process that was asked for is started even if the client went at once."""
        await self._begin()
        await self._session.close()

    async def _begin(self) -> Session | None:
        start, self._start = self._start, None
        return None if start is None else await start()
