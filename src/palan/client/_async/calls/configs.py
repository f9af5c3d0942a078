# Made by scripts/client_calls.py of palan/api/configs.py: change that.
"""Configs: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    import builtins

    from palan.api._swarm_types import Driver
    from palan.api.configs import Config, ConfigCreateResponse
    from palan.client._async.client import AsyncClient
    from palan.client._request import Filters

__all__ = ["AsyncConfigsCalls"]


class AsyncConfigsCalls:
    """Files that the tasks of a swarm are given."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[Config]:
        """List configs.

        Endpoint: ``GET /configs``, since 1.30.

        Args:
            filters: ``id``, ``label`` or ``name``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a config of the swarm.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: builtins.list[Config] = await self._client.calling.call(
            "configs.list", {"filters": filters}, timeout
        )
        return answer

    async def create(
        self,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        data: bytes | None = None,
        templating: Driver | None = None,
        timeout: Limit = CLIENT,
    ) -> ConfigCreateResponse:
        """Create a config.

        Endpoint: ``POST /configs/create``, since 1.30.

        Args:
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            data: at most 1000 KB; base64 in JSON.
            templating: how placeholders in the data are filled in, for each task.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The id of a new config.

        Raises:
            Conflict: it is in a state that forbids this.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: ConfigCreateResponse = await self._client.calling.call(
            "configs.create",
            {"name": name, "labels": labels, "data": data, "templating": templating},
            timeout,
        )
        return answer

    async def inspect(self, id: str, *, timeout: Limit = CLIENT) -> Config:
        """Inspect a config.

        Endpoint: ``GET /configs/{id}``, since 1.30.

        Args:
            id: id, a unique beginning of it, or name.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A config of the swarm.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Config = await self._client.calling.call("configs.inspect", {"id": id}, timeout)
        return answer

    async def remove(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Remove a config that no service uses.

        Endpoint: ``DELETE /configs/{id}``, since 1.30.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call("configs.remove", {"id": id}, timeout)

    async def update(
        self,
        id: str,
        version: int,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        data: bytes | None = None,
        templating: Driver | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Change a config's labels; nothing else of it can be changed.

        Endpoint: ``POST /configs/{id}/update``, since 1.30.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            version: the version of the config that the change was made from.
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            data: at most 1000 KB; base64 in JSON.
            templating: how placeholders in the data are filled in, for each task.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call(
            "configs.update",
            {
                "id": id,
                "version": version,
                "name": name,
                "labels": labels,
                "data": data,
                "templating": templating,
            },
            timeout,
        )
