"""Containers that do not run, for tests of parts of the engine without I/O."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from palan.api.containers import ContainerConfig, HostConfig
from palan.engine.containers.container import Container
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.registry import ContainerRegistry


def make_record(number: int = 1, **fields: Any) -> ContainerRecord:
    """Return the record of the ``number``-th container; later numbers are newer."""
    values: dict[str, Any] = {
        "id": f"{number:064x}",
        "name": f"name{number}",
        "created": number,
        "image": f"sha256:{number:064x}",
        "config": ContainerConfig(),
        "host_config": HostConfig(network_mode="bridge"),
        "endpoints": {},
        "layers": [],
        "runtime": "runc",
    }
    return ContainerRecord(**(values | fields))


def make_container(number: int = 1, **fields: Any) -> Container:
    """Return a container with such a record; needs a running loop."""
    return Container(make_record(number, **fields))


class FakeEvents:
    """Records the published events."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, dict[str, str]]] = []

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
        self.seen.append((kind, action, actor, dict(attributes)))


class FakeEngine(SimpleNamespace):
    """What :func:`fake_engine` makes."""

    def __init__(self, *containers: Container, **rooms: Any) -> None:
        registry = ContainerRegistry()
        for container in containers:
            registry.add(container)
        self.saved: list[str] = []
        recovered = asyncio.Event()
        recovered.set()
        super().__init__(
            containers=SimpleNamespace(registry=registry, save=self._save, recovered=recovered),
            events=FakeEvents(),
            stopping=asyncio.Event(),
            **rooms,
        )
        self.spawned: list[asyncio.Task[Any]] = []

    async def _save(self, container: Container) -> None:
        self.saved.append(container.record.status)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self.spawned.append(task)
        return task


def fake_engine(*containers: Container, **rooms: Any) -> Any:
    """An engine of the rooms that a test gives it, with these containers in its registry."""
    return FakeEngine(*containers, **rooms)
