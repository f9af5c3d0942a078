"""Protocols of what the networks need from the rest of the engine."""

import asyncio
from pathlib import Path
from typing import Any, Protocol

from palan.api.networks import NetworkConnectRequest, NetworkDisconnectRequest
from palan.engine.background import Background
from palan.engine.config import EngineConfig
from palan.engine.events import Publisher
from palan.plugins import PluginRegistry
from palan.store.database import Database


__all__ = ["Members", "NetworkPaths", "Surroundings"]


class NetworkPaths(Protocol):
    """The paths that networks use."""

    @property
    def netns(self) -> Path:
        """The directory in which network namespaces are bind-mounted."""

    @property
    def firewall(self) -> Path:
        """The file with the names of the firewall back ends that rules were made with."""


class Members(Protocol):
    """The containers, which are the members of networks."""

    def name_of(self, container_id: str, /) -> str:
        """Return the name of a container; empty if there is no such container."""

    def id_of(self, reference: str, /) -> str:
        """Return the id of a container, given by name or id; empty if no container fits."""

    def namespace_shared(self, container_id: str, /) -> bool:
        """Return whether another container runs in the network namespace of this one."""

    async def connect_to_network(self, network: str, body: NetworkConnectRequest, /) -> None:
        """Connect a container to a network: its row changes, under the container's lock."""

    async def disconnect_from_network(
        self, network: str, body: NetworkDisconnectRequest, /
    ) -> None:
        """Disconnect a container from a network: its row changes, under the container's lock."""


class Surroundings(Background, Protocol):
    """The parts of the engine that networks use."""

    @property
    def id(self) -> str:
        """The id of the engine."""

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now; a reload replaces it."""

    @property
    def db(self) -> Database:
        """The database with the rows."""

    @property
    def paths(self) -> NetworkPaths:
        """The paths."""

    @property
    def events(self) -> Publisher:
        """The event journal."""

    @property
    def log(self) -> Any:
        """The engine's log."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""

    @property
    def drivers(self) -> PluginRegistry:
        """The plugins of other programs."""

    @property
    def containers(self) -> Members:
        """The containers."""
