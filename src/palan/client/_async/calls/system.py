# Made by scripts/client_calls.py of palan/api/system.py: change that.
"""System: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palan.client._async.streams import AsyncMessageStream
from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    from palan.api._disk_usage import SystemDataUsageResponse
    from palan.api._events import EventMessage
    from palan.api._system_info import SystemInfo, SystemVersion
    from palan.api.system import AuthResponse
    from palan.client._async.client import AsyncClient
    from palan.client._request import Filters

__all__ = ["AsyncSystemCalls"]


class AsyncSystemCalls:
    """The engine about itself, its events, its disk."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def ping(self, *, timeout: Limit = CLIENT) -> str:
        """Say ``OK``; headers tell the versions and the state of the swarm.

        Endpoint: ``GET /_ping``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The text.
        """
        return await self._client.ping(timeout=timeout)

    async def ping_head(self, *, timeout: Limit = CLIENT) -> None:
        """Answer the headers of ping alone.

        Endpoint: ``HEAD /_ping``.

        Args:
            timeout: seconds for the whole call; None is for ever.
        """
        await self._client.ping("HEAD", timeout=timeout)

    async def version(self, *, timeout: Limit = CLIENT) -> SystemVersion:
        """Tell the versions of the engine, its API and the machine.

        Endpoint: ``GET /version``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            Versions of the engine, its API and the machine.
        """
        answer: SystemVersion = await self._client.calling.call("system.version", {}, timeout)
        return answer

    async def info(self, *, timeout: Limit = CLIENT) -> SystemInfo:
        """Tell what the engine and the machine are and can do.

        Endpoint: ``GET /info``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What the engine and the machine are and can do.
        """
        answer: SystemInfo = await self._client.calling.call("system.info", {}, timeout)
        return answer

    def events(
        self,
        *,
        since: str = "",
        until: str = "",
        filters: Filters | None = None,
        timeout: float | None = None,
    ) -> AsyncMessageStream[EventMessage]:
        """Tell what happens, and what has happened since some time.

        Filters: config, container, daemon, event, image, label, network, node, plugin, scope,
        secret, service, type, volume.

        Endpoint: ``GET /events``.

        Args:
            since: Unix seconds, with a fraction if need be, or RFC 3339; empty is now.
            until: as ``since``; empty is for ever.
            filters: Docker's ``filters``.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The messages, as they come.
        """
        return AsyncMessageStream(
            self._client,
            self._client.calling.prepare(
                "system.events", {"since": since, "until": until, "filters": filters}
            ),
            timeout,
        )

    async def disk_usage(
        self, *, type: list[str] | None = None, verbose: bool = False, timeout: Limit = CLIENT
    ) -> SystemDataUsageResponse:
        """Tell how much disk the engine's objects take.

        Endpoint: ``GET /system/df``, since 1.25.

        Args:
            type: ``container``, ``image``, ``volume``, ``build-cache``; none is all.
            verbose: list the objects in the summaries, and leave out the old lists.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The disk that all of the engine's objects take; kinds not asked for are left out.
        """
        answer: SystemDataUsageResponse = await self._client.calling.call(
            "system.disk_usage", {"type": type, "verbose": verbose}, timeout
        )
        return answer

    async def auth(
        self,
        *,
        username: str = "",
        password: str = "",
        auth: str = "",
        server_address: str = "",
        identity_token: str = "",
        registry_token: str = "",
        timeout: Limit = CLIENT,
    ) -> AuthResponse:
        """Check credentials with a registry.

        Endpoint: ``POST /auth``.

        Args:
            username: Docker's ``username``.
            password: Docker's ``password``.
            auth: ``username:password`` in base64, instead of those two.
            server_address: Docker's ``serveraddress``.
            identity_token: instead of a password: what an earlier login answered.
            registry_token: a bearer token, sent as it is.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What came of a login.

        Raises:
            Unauthorized: the registry wants other credentials.
        """
        answer: AuthResponse = await self._client.calling.call(
            "system.auth",
            {
                "username": username,
                "password": password,
                "auth": auth,
                "server_address": server_address,
                "identity_token": identity_token,
                "registry_token": registry_token,
            },
            timeout,
        )
        return answer

    async def openapi(self, *, timeout: Limit = CLIENT) -> dict[str, Any]:
        """Describe this API, as an OpenAPI document (Palan's own).

        Endpoint: ``GET /openapi.json``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What the engine answers.
        """
        answer: dict[str, Any] = await self._client.calling.call("system.openapi", {}, timeout)
        return answer
