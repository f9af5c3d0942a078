# Made by scripts/client_calls.py of palan/api/nodes.py: change that.
"""Nodes: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    import builtins

    from palan.api.nodes import Node
    from palan.client._async.client import AsyncClient
    from palan.client._request import Filters

__all__ = ["AsyncNodesCalls"]


class AsyncNodesCalls:
    """The nodes of a swarm, managers and workers."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[Node]:
        """List nodes.

        Endpoint: ``GET /nodes``.

        Args:
            filters: ``id``, ``label``, ``membership``, ``name``, ``node.label`` or ``role``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a node of a swarm.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: builtins.list[Node] = await self._client.calling.call(
            "nodes.list", {"filters": filters}, timeout
        )
        return answer

    async def inspect(self, id: str, *, timeout: Limit = CLIENT) -> Node:
        """Inspect a node.

        Endpoint: ``GET /nodes/{id}``.

        Args:
            id: id, a unique beginning of it, or name.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A node of a swarm.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Node = await self._client.calling.call("nodes.inspect", {"id": id}, timeout)
        return answer

    async def remove(self, id: str, *, force: bool = False, timeout: Limit = CLIENT) -> None:
        """Remove a node from the swarm.

        Endpoint: ``DELETE /nodes/{id}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            force: also when it is still up.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call("nodes.remove", {"id": id, "force": force}, timeout)

    async def update(
        self,
        id: str,
        version: int,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        role: str | None = None,
        availability: str | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Change a node's role, availability or labels.

        Endpoint: ``POST /nodes/{id}/update``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            version: the version of the node that the change was made from.
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            role: ``worker`` or ``manager``.
            availability: ``active``, ``pause`` (no new tasks) or ``drain`` (no tasks at all).
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call(
            "nodes.update",
            {
                "id": id,
                "version": version,
                "name": name,
                "labels": labels,
                "role": role,
                "availability": availability,
            },
            timeout,
        )
