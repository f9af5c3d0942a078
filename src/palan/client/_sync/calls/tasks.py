# Made of _async/calls/tasks.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/tasks.py: change that.
"""Tasks: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import OutputStream


if TYPE_CHECKING:
    import builtins

    from palan.api.tasks import Task
    from palan.client._request import Filters
    from palan.client._sync.client import Client

__all__ = ["TasksCalls"]


class TasksCalls:
    """The tasks that the services of a swarm consist of."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[Task]:
        """List tasks.

        Endpoint: ``GET /tasks``.

        Args:
            filters: ``desired-state``, ``id``, ``label``, ``name``, ``node``, ``service``,
                ``runtime`` or ``up-to-date``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a task of a swarm.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: builtins.list[Task] = self._client.calling.call(
            "tasks.list", {"filters": filters}, timeout
        )
        return answer

    def inspect(self, id: str, *, timeout: Limit = CLIENT) -> Task:
        """Inspect a task.

        Endpoint: ``GET /tasks/{id}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A task of a swarm.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Task = self._client.calling.call("tasks.inspect", {"id": id}, timeout)
        return answer

    def logs(
        self,
        id: str,
        *,
        details: bool = False,
        follow: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        since: str = "",
        timestamps: bool = False,
        tail: str = "all",
        timeout: float | None = None,
    ) -> OutputStream:
        """Get the output of a task.

        Endpoint: ``GET /tasks/{id}/logs``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            details: begin each line with its task, service and node.
            follow: Docker's ``follow``.
            stdout: Docker's ``stdout``.
            stderr: Docker's ``stderr``.
            since: seconds since 1970, with an optional fraction.
            timestamps: Docker's ``timestamps``.
            tail: how many of the last lines, or ``all``.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The output, read as it comes.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        return OutputStream(
            self._client,
            self._client.calling.prepare(
                "tasks.logs",
                {
                    "id": id,
                    "details": details,
                    "follow": follow,
                    "stdout": stdout,
                    "stderr": stderr,
                    "since": since,
                    "timestamps": timestamps,
                    "tail": tail,
                },
            ),
            timeout,
        )
