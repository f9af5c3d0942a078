# Made of _async/calls/secrets.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/secrets.py: change that.
"""Secrets: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    import builtins

    from palan.api._swarm_types import Driver
    from palan.api.secrets import Secret, SecretCreateResponse
    from palan.client._request import Filters
    from palan.client._sync.client import Client

__all__ = ["SecretsCalls"]


class SecretsCalls:
    """Data that only the tasks that need them see."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[Secret]:
        """List secrets.

        Endpoint: ``GET /secrets``, since 1.25.

        Args:
            filters: ``id``, ``label``, ``name`` or ``names``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a secret of the swarm.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: builtins.list[Secret] = self._client.calling.call(
            "secrets.list", {"filters": filters}, timeout
        )
        return answer

    def create(
        self,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        data: bytes | None = None,
        driver: Driver | None = None,
        templating: Driver | None = None,
        timeout: Limit = CLIENT,
    ) -> SecretCreateResponse:
        """Create a secret.

        Endpoint: ``POST /secrets/create``, since 1.25.

        Args:
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            data: at most 500 KB; base64 in JSON.
            driver: who keeps the data; unset is the swarm itself.
            templating: how placeholders in the data are filled in, for each task.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The id of a new secret.

        Raises:
            Conflict: it is in a state that forbids this.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: SecretCreateResponse = self._client.calling.call(
            "secrets.create",
            {
                "name": name,
                "labels": labels,
                "data": data,
                "driver": driver,
                "templating": templating,
            },
            timeout,
        )
        return answer

    def inspect(self, id: str, *, timeout: Limit = CLIENT) -> Secret:
        """Inspect a secret.

        Endpoint: ``GET /secrets/{id}``, since 1.25.

        Args:
            id: id, a unique beginning of it, or name.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A secret of the swarm.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Secret = self._client.calling.call("secrets.inspect", {"id": id}, timeout)
        return answer

    def remove(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Remove a secret that no service uses.

        Endpoint: ``DELETE /secrets/{id}``, since 1.25.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        self._client.calling.call("secrets.remove", {"id": id}, timeout)

    def update(
        self,
        id: str,
        version: int,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        data: bytes | None = None,
        driver: Driver | None = None,
        templating: Driver | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Change a secret's labels; nothing else of it can be changed.

        Endpoint: ``POST /secrets/{id}/update``, since 1.25.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            version: the version of the secret that the change was made from.
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            data: at most 500 KB; base64 in JSON.
            driver: who keeps the data; unset is the swarm itself.
            templating: how placeholders in the data are filled in, for each task.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        self._client.calling.call(
            "secrets.update",
            {
                "id": id,
                "version": version,
                "name": name,
                "labels": labels,
                "data": data,
                "driver": driver,
                "templating": templating,
            },
            timeout,
        )
