"""Containers that do not run, for tests of parts of the engine without I/O."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from palan.api.containers import ContainerConfig, HostConfig
from palan.engine.containers.container import Container
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.registry import ContainerRegistry
from palan.host.cgroups import Cgroups, Layout


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


class FakeLog:
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **_fields: Any) -> "FakeLog":
        return self

    def warning(self, text: str, **fields: Any) -> None:
        self.warnings.append((text, fields))

    exception = warning


class NoMemoryWatches:
    """Watches that never see a container run out of memory."""

    def begin(self, _container: Container, _cgroup: object) -> None:
        pass

    def end(self, _container: Container) -> None:
        pass


class FakeContext(SimpleNamespace):
    """A :class:`ContainerContext` without a database; see :func:`fake_context`."""

    def __init__(self, *containers: Container, **rooms: Any) -> None:
        registry = ContainerRegistry()
        for container in containers:
            registry.add(container)
        recovered = asyncio.Event()
        recovered.set()
        self.saved: list[str] = []
        self.deleted: list[str] = []
        self.spawned: list[asyncio.Task[Any]] = []
        super().__init__(
            registry=registry,
            recovered=recovered,
            events=FakeEvents(),
            stopping=asyncio.Event(),
            log=FakeLog(),
            config=SimpleNamespace(cgroup_root="palan"),
            machine=SimpleNamespace(cgroups=Cgroups(Layout.V2, Path("/"), {})),
            memory_watches=NoMemoryWatches(),
            **rooms,
        )

    async def save(self, container: Container) -> None:
        self.saved.append(container.record.status)

    async def delete(self, record: ContainerRecord) -> None:
        self.deleted.append(record.id)

    def spawn(self, work: Any, **_options: bool) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self.spawned.append(task)
        return task


def fake_context(*containers: Container, **rooms: Any) -> Any:
    """A context with the rooms that a test gives it, and these containers in its registry."""
    return FakeContext(*containers, **rooms)
