"""One exec: created, running or ended."""

import asyncio
from base64 import b64encode

from palan.api import UNSET
from palan.api.exec import ExecConfig, ExecInspectResponse, ProcessConfig
from palan.engine.exec.surroundings import Target, TargetUser
from palan.engine.oci.process import User
from palan.engine.streams.attach import AttachPoint
from palan.host.conmon import Monitored


__all__ = ["ExecInstance"]


class ExecInstance:
    """A process that was created in a container.

    It exists in memory only: after a restart of the engine its process continues under its
    conmon, but its id is no longer known, as with dockerd.

    Attributes:
        id: 64 hex digits.
        target: the container.
        config: the request.
        user: the ids of the process.
        home: the user's home directory.
        keys: the bytes by which a client detaches.
        streams: the attach point of its clients.
        started: a client has asked for its start.
        finished: it has ended, or could not be started.
        exit_code: None until then.
        up: set when it runs, or has ended.
        monitored: the process and its conmon, once it was started.
        ended_at: monotonic seconds; ended execs are discarded some time later.
    """

    def __init__(
        self,
        exec_id: str,
        target: Target,
        config: ExecConfig,
        user: TargetUser,
        keys: bytes,
    ) -> None:
        self.id = exec_id
        self.target = target
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

    @property
    def command(self) -> str:
        """The command line as events show it; like dockerd's, a single word ends with a space."""
        program, *arguments = self.config.cmd or [""]
        return f"{program} {' '.join(arguments)}"

    @property
    def running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.monitored is not None and not self.finished

    def describe(self) -> ExecInspectResponse:
        """Return the answer of ``GET /exec/{id}/json``."""
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
            container_id=self.target.id,
            detach_keys=b64encode(self.keys).decode() if self.config.detach_keys else "",
            pid=self.monitored.pid if self.monitored else 0,
        )
