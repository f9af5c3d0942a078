# Made of _async/calls/services.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/services.py: change that.
"""Services: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import OutputStream


if TYPE_CHECKING:
    import builtins

    from palan.api._task_spec import TaskSpec
    from palan.api.services import (
        EndpointSpec,
        Service,
        ServiceCreateResponse,
        ServiceMode,
        ServiceUpdateResponse,
        UpdateConfig,
    )
    from palan.api.system import AuthConfig
    from palan.client._request import Filters
    from palan.client._sync.client import Client

__all__ = ["ServicesCalls"]


class ServicesCalls:
    """What shall run on a swarm, how often, and how it is updated."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, filters: Filters | None = None, status: bool = False, timeout: Limit = CLIENT
    ) -> builtins.list[Service]:
        """List services.

        Endpoint: ``GET /services``.

        Args:
            filters: ``id``, ``label``, ``mode`` or ``name``.
            status: count tasks too.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a service of a swarm.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: builtins.list[Service] = self._client.calling.call(
            "services.list", {"filters": filters, "status": status}, timeout
        )
        return answer

    def create(
        self,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        task_template: TaskSpec | None = None,
        mode: ServiceMode | None = None,
        update_config: UpdateConfig | None = None,
        rollback_config: UpdateConfig | None = None,
        endpoint_spec: EndpointSpec | None = None,
        registry_auth: AuthConfig | str | None = None,
        timeout: Limit = CLIENT,
    ) -> ServiceCreateResponse:
        """Create a service.

        Endpoint: ``POST /services/create``.

        Args:
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            task_template: Docker's ``TaskTemplate``.
            mode: Docker's ``Mode``.
            update_config: Docker's ``UpdateConfig``.
            rollback_config: Docker's ``RollbackConfig``.
            endpoint_spec: Docker's ``EndpointSpec``.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The id of a new service.

        Raises:
            Forbidden: this is never allowed.
            Conflict: it is in a state that forbids this.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: ServiceCreateResponse = self._client.calling.call(
            "services.create",
            {
                "name": name,
                "labels": labels,
                "task_template": task_template,
                "mode": mode,
                "update_config": update_config,
                "rollback_config": rollback_config,
                "endpoint_spec": endpoint_spec,
                "registry_auth": registry_auth,
            },
            timeout,
        )
        return answer

    def inspect(
        self, id: str, *, insert_defaults: bool = False, timeout: Limit = CLIENT
    ) -> Service:
        """Inspect a service.

        Endpoint: ``GET /services/{id}``.

        Args:
            id: id, a unique beginning of it, or name.
            insert_defaults: show the default of what the specification leaves open.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A service of a swarm.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Service = self._client.calling.call(
            "services.inspect", {"id": id, "insert_defaults": insert_defaults}, timeout
        )
        return answer

    def remove(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Remove a service and its tasks.

        Endpoint: ``DELETE /services/{id}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        self._client.calling.call("services.remove", {"id": id}, timeout)

    def update(
        self,
        id: str,
        version: int,
        *,
        registry_auth_from: str = "spec",
        rollback: str = "",
        name: str | None = None,
        labels: dict[str, str] | None = None,
        task_template: TaskSpec | None = None,
        mode: ServiceMode | None = None,
        update_config: UpdateConfig | None = None,
        rollback_config: UpdateConfig | None = None,
        endpoint_spec: EndpointSpec | None = None,
        registry_auth: AuthConfig | str | None = None,
        timeout: Limit = CLIENT,
    ) -> ServiceUpdateResponse:
        """Change a service, or go back to what it was.

        Endpoint: ``POST /services/{id}/update``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            version: the version of the service that the change was made from.
            registry_auth_from: without a header, whose credentials to use: ``spec`` or
                ``previous-spec``.
            rollback: ``previous``: ignore the body and go back to the previous specification.
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            task_template: Docker's ``TaskTemplate``.
            mode: Docker's ``Mode``.
            update_config: Docker's ``UpdateConfig``.
            rollback_config: Docker's ``RollbackConfig``.
            endpoint_spec: Docker's ``EndpointSpec``.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What should be said about an update.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: ServiceUpdateResponse = self._client.calling.call(
            "services.update",
            {
                "id": id,
                "version": version,
                "registry_auth_from": registry_auth_from,
                "rollback": rollback,
                "name": name,
                "labels": labels,
                "task_template": task_template,
                "mode": mode,
                "update_config": update_config,
                "rollback_config": rollback_config,
                "endpoint_spec": endpoint_spec,
                "registry_auth": registry_auth,
            },
            timeout,
        )
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
        """Get the output of a service's tasks.

        Endpoint: ``GET /services/{id}/logs``.

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
                "services.logs",
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
