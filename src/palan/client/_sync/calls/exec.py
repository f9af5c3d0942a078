# Made of _async/calls/exec.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/exec.py: change that.
"""Exec: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import Session


if TYPE_CHECKING:
    from palan.api._common import IDResponse
    from palan.api.exec import ExecInspectResponse
    from palan.client._sync.client import Client

__all__ = ["ExecCalls"]


class ExecCalls:
    """More processes in a running container."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        id: str,
        *,
        user: str = "",
        privileged: bool = False,
        tty: bool = False,
        console_size: tuple[int, int] | None = None,
        attach_stdin: bool = False,
        attach_stderr: bool = False,
        attach_stdout: bool = False,
        detach_keys: str = "",
        env: list[str] | None = None,
        working_dir: str = "",
        cmd: list[str] | None = None,
        timeout: Limit = CLIENT,
    ) -> IDResponse:
        """Set up a process in a running container.

        Endpoint: ``POST /containers/{id}/exec``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            user: empty for the container's own.
            privileged: Docker's ``Privileged``.
            tty: Docker's ``Tty``.
            console_size: height and width of the TTY at start.
            attach_stdin: Docker's ``AttachStdin``.
            attach_stderr: Docker's ``AttachStderr``.
            attach_stdout: Docker's ``AttachStdout``.
            detach_keys: Docker's ``DetachKeys``.
            env: ``NAME=value``, beside the container's own.
            working_dir: empty for the container's own.
            cmd: Docker's ``Cmd``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The id of what was made.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: IDResponse = self._client.calling.call(
            "exec.create",
            {
                "id": id,
                "user": user,
                "privileged": privileged,
                "tty": tty,
                "console_size": console_size,
                "attach_stdin": attach_stdin,
                "attach_stderr": attach_stderr,
                "attach_stdout": attach_stdout,
                "detach_keys": detach_keys,
                "env": env,
                "working_dir": working_dir,
                "cmd": cmd,
            },
            timeout,
        )
        return answer

    def start(
        self,
        id: str,
        *,
        detach: bool = False,
        tty: bool = False,
        console_size: tuple[int, int] | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Start a process that was set up.

        Detached, the answer is 200 without a body: the engine returns None.

        Endpoint: ``POST /exec/{id}/start``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            detach: do not stay connected to its streams.
            tty: send output as it is, not in frames; whether there is a TTY was said at
                create.
            console_size: height and width of the TTY.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            A connection, made when it is entered or first used.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        return Session(
            self._client,
            self._client.calling.prepare(
                "exec.start", {"id": id, "detach": detach, "tty": tty, "console_size": console_size}
            ),
            timeout,
            tty=tty,
        )

    def resize(self, id: str, h: int, w: int, *, timeout: Limit = CLIENT) -> None:
        """Set the size of a process's terminal, in characters.

        Endpoint: ``POST /exec/{id}/resize``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            h: Docker's ``h``.
            w: Docker's ``w``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("exec.resize", {"id": id, "h": h, "w": w}, timeout)

    def inspect(self, id: str, *, timeout: Limit = CLIENT) -> ExecInspectResponse:
        """Tell about a process in a container.

        Endpoint: ``GET /exec/{id}/json``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A process in a container, set up, running or ended.

        Raises:
            NotFound: there is no such object.
        """
        answer: ExecInspectResponse = self._client.calling.call("exec.inspect", {"id": id}, timeout)
        return answer
