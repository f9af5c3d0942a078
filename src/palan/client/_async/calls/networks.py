# Made by scripts/client_calls.py of palan/api/networks.py: change that.
"""Networks: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    import builtins

    from palan.api._network_messages import (
        ConfigReference,
        NetworkCreateResponse,
        NetworkInspectResponse,
        NetworkPruneResponse,
        NetworkSummary,
    )
    from palan.api._network_types import IPAM, EndpointSettings
    from palan.client._async.client import AsyncClient
    from palan.client._request import Filters

__all__ = ["AsyncNetworksCalls"]


class AsyncNetworksCalls:
    """Networks that containers are on."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self, *, filters: Filters | None = None, containers: bool = False, timeout: Limit = CLIENT
    ) -> builtins.list[NetworkSummary]:
        """List networks.

        Filters: dangling, driver, id, label, name, scope, type.

        Endpoint: ``GET /networks``.

        Args:
            filters: Docker's ``filters``.
            containers: also tell who is on each, as all lists below 1.28 do.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a network in a list.
        """
        answer: builtins.list[NetworkSummary] = await self._client.calling.call(
            "networks.list", {"filters": filters, "containers": containers}, timeout
        )
        return answer

    async def inspect(
        self, id: str, *, verbose: bool = False, scope: str = "", timeout: Limit = CLIENT
    ) -> NetworkInspectResponse:
        """Tell all that is known about a network.

        Endpoint: ``GET /networks/{id...}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            verbose: also tell about services and their tasks.
            scope: only consider networks of this scope; empty is all.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            All that is known about a network (NetworkInspect in Docker's description).

        Raises:
            NotFound: there is no such object.
        """
        answer: NetworkInspectResponse = await self._client.calling.call(
            "networks.inspect", {"id": id, "verbose": verbose, "scope": scope}, timeout
        )
        return answer

    async def create(
        self,
        *,
        name: str = "",
        driver: str = "",
        scope: str = "",
        enable_ipv4: bool | None = None,
        enable_ipv6: bool | None = None,
        ipam: IPAM | None = None,
        internal: bool = False,
        attachable: bool = False,
        ingress: bool = False,
        config_only: bool = False,
        config_from: ConfigReference | None = None,
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        timeout: Limit = CLIENT,
    ) -> NetworkCreateResponse:
        """Create a network.

        Endpoint: ``POST /networks/create``.

        Args:
            name: Docker's ``Name``.
            driver: empty for ``bridge``, in a swarm's scope for ``overlay``.
            scope: Docker's ``Scope``.
            enable_ipv4: none is the engine's default, as is the next.
            enable_ipv6: Docker's ``EnableIPv6``.
            ipam: Docker's ``IPAM``.
            internal: Docker's ``Internal``.
            attachable: Docker's ``Attachable``.
            ingress: Docker's ``Ingress``.
            config_only: Docker's ``ConfigOnly``.
            config_from: Docker's ``ConfigFrom``.
            options: the driver's.
            labels: Docker's ``Labels``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The new network.

        Raises:
            Forbidden: this is never allowed.
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: NetworkCreateResponse = await self._client.calling.call(
            "networks.create",
            {
                "name": name,
                "driver": driver,
                "scope": scope,
                "enable_ipv4": enable_ipv4,
                "enable_ipv6": enable_ipv6,
                "ipam": ipam,
                "internal": internal,
                "attachable": attachable,
                "ingress": ingress,
                "config_only": config_only,
                "config_from": config_from,
                "options": options,
                "labels": labels,
            },
            timeout,
        )
        return answer

    async def connect(
        self,
        id: str,
        *,
        container: str = "",
        endpoint_config: EndpointSettings | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Put a container on a network.

        Endpoint: ``POST /networks/{id...}/connect``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            container: Docker's ``Container``.
            endpoint_config: Docker's ``EndpointConfig``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Forbidden: this is never allowed.
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        await self._client.calling.call(
            "networks.connect",
            {"id": id, "container": container, "endpoint_config": endpoint_config},
            timeout,
        )

    async def disconnect(
        self, id: str, *, container: str = "", force: bool = False, timeout: Limit = CLIENT
    ) -> None:
        """Take a container off a network.

        Endpoint: ``POST /networks/{id...}/disconnect``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            container: Docker's ``Container``.
            force: Docker's ``Force``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Forbidden: this is never allowed.
            NotFound: there is no such object.
        """
        await self._client.calling.call(
            "networks.disconnect", {"id": id, "container": container, "force": force}, timeout
        )

    async def remove(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Remove a network that no running container is on.

        Endpoint: ``DELETE /networks/{id...}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Forbidden: this is never allowed.
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        await self._client.calling.call("networks.remove", {"id": id}, timeout)

    async def prune(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> NetworkPruneResponse:
        """Remove all networks that no container is on.

        Filters: label, until.

        Endpoint: ``POST /networks/prune``, since 1.25.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The names of the networks that were removed.

        Raises:
            Conflict: it is in a state that forbids this.
        """
        answer: NetworkPruneResponse = await self._client.calling.call(
            "networks.prune", {"filters": filters}, timeout
        )
        return answer
