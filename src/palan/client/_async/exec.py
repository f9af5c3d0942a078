"""Processes in running containers: the endpoints, and operations of several calls."""

from typing import Final

from palan.client._async.calls.exec import AsyncExecCalls
from palan.client._async.io import now, sleep
from palan.client._async.response import AsyncResponse
from palan.client._async.streams import AsyncSession
from palan.client._limits import CLIENT, Limit
from palan.client._outcomes import ExecResult
from palan.client._request import prepare
from palan.client._run_options import Command, Environment, command_words, environment
from palan.client.errors import ClientError, ContainerFailed, TransportError


__all__ = ["AsyncExec", "AsyncExecSession"]

_FIRST_PAUSE: Final = 0.001
_MAX_PAUSE: Final = 0.1
"""Seconds between queries of a process that has closed its output and not ended; they grow."""


class AsyncExecSession(AsyncSession):
    """A process in a container: its streams, and at the end its exit code."""

    id: str = ""
    """The exec's id; empty before the session is opened."""

    creating: tuple[str, dict[str, object]] | None = None

    async def open(self) -> AsyncResponse:
        """Create and start the process, unless this was done already."""
        if self.creating is not None and self._response is None:
            container, arguments = self.creating
            self.creating = None
            made = await self._calling.call("exec.create", {"id": container, **arguments}, CLIENT)
            self.id = made.id
            tty = bool(arguments.get("tty"))
            self.tty = tty
            self._prepared = prepare("exec.start", {"id": made.id, "tty": tty})
        return await super().open()

    async def exit_code(self) -> int:
        """Wait for the process's end, and return its exit code.

        Raises:
            ClientError: the process was not started.
        """
        if not self.id:
            raise ClientError("the process was not started")
        pause = _FIRST_PAUSE
        while True:
            found = await self._calling.call("exec.inspect", {"id": self.id}, CLIENT)
            exit_code: int | None = found.exit_code
            if not found.running and exit_code is not None:
                return exit_code
            await sleep(pause)
            pause = min(_MAX_PAUSE, pause * 2)


class AsyncExec(AsyncExecCalls):
    """Additional processes in running containers."""

    async def run(
        self,
        container: str,
        command: Command,
        *,
        stdin: bytes | None = None,
        user: str = "",
        env: Environment = None,
        working_dir: str = "",
        tty: bool = False,
        privileged: bool = False,
        check: bool = False,
        timeout: float | None = None,
    ) -> ExecResult:
        """Run a process in a container to its end and collect its output.

        Endpoints: ``POST /containers/{id}/exec``, ``POST /exec/{id}/start`` and
        ``GET /exec/{id}/json``.

        Args:
            container: the container's name or id.
            command: the command; a string is run by ``sh -c``.
            stdin: the input of the process; None attaches no stdin.
            user: ``name``, ``uid``, ``name:group`` or ``uid:gid``.
            env: additional environment variables.
            working_dir: the working directory.
            tty: allocate a terminal; all output is on stdout then.
            privileged: give the process all capabilities.
            check: raise an exception if the exit code is not 0.
            timeout: seconds until the call raises ``Timeout``; None is no limit. The process
                keeps running, as the API has no way to end it.

        Raises:
            ContainerFailed: the exit code is not 0, and ``check`` is true.
            Timeout: the process runs for too long; has the output until then.
        """
        deadline = None if timeout is None else now() + timeout
        session = self.open(
            container,
            command,
            stdin=stdin is not None,
            user=user,
            env=env,
            working_dir=working_dir,
            tty=tty,
            privileged=privileged,
        )
        async with session:
            session.limit(deadline)
            if stdin is None:
                stdout, stderr = await session.read_split()
            else:
                stdout, stderr = await session.communicate(stdin)
            try:
                code = await session.exit_code()
            except TransportError as error:
                error.stdout, error.stderr = stdout, stderr
                raise
        if check and code:
            last = (stderr or stdout).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise ContainerFailed(
                f"{command!r} in {container} ended with {code}" + (f": {last}" if last else ""),
                container=container,
                exit_code=code,
                stdout=stdout,
                stderr=stderr,
            )
        return ExecResult(code, stdout, stderr)

    def open(
        self,
        container: str,
        command: Command,
        *,
        stdin: bool = True,
        user: str = "",
        env: Environment = None,
        working_dir: str = "",
        tty: bool = False,
        privileged: bool = False,
        timeout: float | None = None,
    ) -> AsyncExecSession:
        """Return a session with a new process in a container.

        The process is created and started when the session is entered or first used.

        Args:
            container: the container's name or id.
            command: the command; a string is run by ``sh -c``.
            stdin: whether to attach stdin.
            user: ``name``, ``uid``, ``name:group`` or ``uid:gid``.
            env: additional environment variables.
            working_dir: the working directory.
            tty: allocate a terminal.
            privileged: give the process all capabilities.
            timeout: seconds to wait for each chunk of output; None is no limit.
        """
        session = AsyncExecSession(
            self._client.calling, prepare("exec.start", {"id": "-"}), timeout, tty=tty
        )
        session.creating = (
            container,
            {
                "cmd": command_words(command),
                "attach_stdin": stdin,
                "attach_stdout": True,
                "attach_stderr": True,
                "user": user,
                "env": environment(env) or None,
                "working_dir": working_dir,
                "tty": tty,
                "privileged": privileged,
            },
        )
        return session

    async def launch(
        self,
        container: str,
        command: Command,
        *,
        user: str = "",
        env: Environment = None,
        working_dir: str = "",
        tty: bool = False,
        privileged: bool = False,
        timeout: Limit = CLIENT,
    ) -> str:
        """Start a process in a container and leave it running.

        Endpoints: ``POST /containers/{id}/exec`` and ``POST /exec/{id}/start``.

        Args:
            container: the container's name or id.
            command: the command; a string is run by ``sh -c``.
            user: ``name``, ``uid``, ``name:group`` or ``uid:gid``.
            env: additional environment variables.
            working_dir: the working directory.
            tty: allocate a terminal.
            privileged: give the process all capabilities.
            timeout: seconds for each call; None is no limit.

        Returns:
            The id of the exec, for ``inspect``.
        """
        made = await self.create(
            container,
            cmd=command_words(command),
            user=user,
            env=environment(env) or None,
            working_dir=working_dir,
            tty=tty,
            privileged=privileged,
            timeout=timeout,
        )
        limit = None if timeout is CLIENT else timeout
        started = self.start(made.id, detach=True, tty=tty, timeout=limit)
        async with started:
            await (await started.open()).read()
        return made.id
