"""A room of networks without an engine: a database in memory, fake plugins and containers."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from tests.support.containers import FakeEvents

from palan.engine.config import EngineConfig
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.networks.options import network_options
from palan.engine.networks.record import NetworkRecord, PoolRecord
from palan.engine.networks.room import SCHEMA
from palan.plugins import PluginFailure, PluginNotFound
from palan.store.database import Database


class FakePlugin:
    """A plugin that gives fixed answers, by method; other methods do not exist."""

    def __init__(self, answers: Mapping[str, dict[str, Any]]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        name = method.partition(".")[2]
        self.calls.append((name, arguments or {}))
        if name not in self.answers:
            raise PluginFailure(f"{name}: not found", status=404)
        return self.answers[name]

    @property
    def called(self) -> list[str]:
        return [name for name, _ in self.calls]


class FakePlugins(dict[str, FakePlugin]):
    """Plugins by name, in place of the registry of those on this machine."""

    async def get(self, name: str, _kind: str) -> FakePlugin:  # type: ignore[override]
        if name not in self:
            raise PluginNotFound(f"plugin {name} not found")
        return self[name]


class FakeMembers:
    """The containers, as names by id."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.sharing: set[str] = set()
        self.requests: list[tuple[str, str, Any]] = []

    def name_of(self, container_id: str) -> str:
        return self.names.get(container_id, "")

    def id_of(self, reference: str) -> str:
        return next((i for i, name in self.names.items() if reference in (i, name)), "")

    def namespace_shared(self, container_id: str) -> bool:
        return container_id in self.sharing

    async def connect_to_network(self, network: str, body: Any) -> None:
        self.requests.append(("connect", network, body))

    async def disconnect_from_network(self, network: str, body: Any) -> None:
        self.requests.append(("disconnect", network, body))


class FakeSurroundings:
    """The parts of an engine that networks use; needs a running loop."""

    def __init__(self, root: Path, **directives: Any) -> None:
        self.id = "engine"
        self.config = EngineConfig(**directives)
        self.db = Database(root / "db", SCHEMA)
        self.paths: Any = SimpleNamespace(netns=root / "netns", firewall=root / "firewall")
        self.paths.netns.mkdir(exist_ok=True)
        self.events = FakeEvents()
        self.log: Any = structlog.get_logger()
        self.loop = asyncio.get_running_loop()
        self.drivers: Any = FakePlugins()
        self.containers = FakeMembers()

    def spawn(self, work: Any, **_options: bool) -> asyncio.Task[Any]:
        return asyncio.ensure_future(work)

    async def slowly(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)


def make_network(name: str, *subnets: str, **fields: Any) -> Network:
    """A network as if made already, each subnet with its first address as gateway."""
    pools = [PoolRecord(subnet=text, gateway=str(ip_network(text)[1])) for text in subnets]
    record = NetworkRecord(
        **{
            "id": f"{name:0<64}",
            "name": name,
            "driver": "bridge",
            "created": 1,
            "interface": f"br-{name}",
            "pools": pools,
            "enable_ipv6": any(":" in text for text in subnets),
            **fields,
        }
    )
    network = Network(record, network_options(record))
    network.make_pools()
    return network


def make_member(number: int = 1, **fields: Any) -> Member:
    """The ``number``-th container."""
    return Member(**{"id": f"{number:064x}", "name": f"name{number}", **fields})
