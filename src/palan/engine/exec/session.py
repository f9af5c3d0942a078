"""One exec: set up, running or ended."""

from base64 import b64encode

from palan.api import UNSET
from palan.api.exec import ExecConfig, ExecInspectResponse, ProcessConfig
from palan.engine.containers.container import Container
from palan.engine.containers.users import ResolvedUser
from palan.engine.oci.process import User
from palan.engine.streams.attach import AttachPoint
from palan.host.conmon import Monitored


__all__ = ["ExecInstance"]


class ExecInstance:
    """A process that was set up in a container.

    It lives in memory only: after a restart of the engine its process goes on with its
    conmon, but it is not known by its id any more, as with dockerd.

    Attributes:
        started: somebody has asked for its start.
        finished: it has ended, or could not be started.
        exit_code: None until then.
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
        self.monitored: Monitored | None = None
        self.ended_at: float | None = None
        """Monotonic seconds; what has ended is forgotten some time later."""

    @property
    def command(self) -> str:
        """The command line as events show it."""
        return " ".join(self.config.cmd or ())

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
