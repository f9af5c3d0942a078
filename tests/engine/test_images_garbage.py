"""Random loads, tags, uses and removals, also concurrent ones: the store has what is referenced."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.images import (
    FakeContainer,
    ImagesEngine,
    docker_archive,
    make_tar,
    member,
    saved,
    tagged,
)

from palan.api import images as api
from palan.api.errors import PalanError


pytestmark = pytest.mark.root

LAYERS: Final = [make_tar(member(f"file{n}", b"%d" % n)) for n in range(3)]
# Images that share layers in various ways: as a base, in the middle, and in another order.
SHAPES: Final = [(0,), (0, 1), (0, 2), (0, 1, 2), (1, 0), (2,)]
ARCHIVES: Final = [docker_archive(*(LAYERS[n] for n in shape)) for shape in SHAPES]
NAMES: Final = ["a:1", "a:2", "b:1"]

Operation = Callable[[ImagesEngine], Awaitable[object]]


def load(number: int, name: str) -> Operation:
    archive = docker_archive(*(LAYERS[n] for n in SHAPES[number]), tags=[name])
    return lambda engine: engine.load_tar(archive)


def load_nameless(number: int) -> Operation:
    return lambda engine: engine.load_tar(ARCHIVES[number])


def tag(name: str, other: str) -> Operation:
    repository, _, tag = other.partition(":")
    return lambda engine: tagged(engine, name, repository, tag)


def remove(name: str, *, force: bool) -> Operation:
    return lambda engine: engine.images.remove(api.ImageRemove(name=name, force=force))


def save(name: str) -> Operation:
    return lambda engine: saved(engine, name)


async def prune(engine: ImagesEngine) -> None:
    await engine.images.prune(api.ImagePrune())


def run(name: str) -> Operation:
    """Create a container of an image, as the room of containers does it."""

    async def work(engine: ImagesEngine) -> None:
        image = engine.images.resolve(name)
        with engine.images.hold(image):
            await asyncio.sleep(0.001)
            engine.containers.all.append(FakeContainer("c" * 64, image.id))

    return work


async def end(engine: ImagesEngine) -> None:
    """Remove the oldest container."""
    if engine.containers.all:
        container = engine.containers.all.pop(0)
        await engine.images.release(container.image)


names = st.sampled_from(NAMES)
numbers = st.sampled_from(range(len(SHAPES)))
operations = st.one_of(
    st.builds(load, numbers, names),
    st.builds(load_nameless, numbers),
    st.builds(tag, names, names),
    st.builds(remove, names, force=st.booleans()),
    st.builds(save, names),
    st.just(prune),
    st.builds(run, names),
    st.just(end),
)


class Garbage(RuleBasedStateMachine):
    """A state machine of operations on a room of images."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(prefix="palan-garbage-"))
        self.engine = self.do(self.make())

    async def make(self) -> ImagesEngine:
        return ImagesEngine(self.root)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @rule(together=st.lists(operations, min_size=1, max_size=4))
    def happen(self, together: list[Operation]) -> None:
        async def work() -> None:
            done = await asyncio.gather(
                *(operation(self.engine) for operation in together), return_exceptions=True
            )
            await self.engine.settle()
            for result in done:
                if isinstance(result, BaseException) and not isinstance(result, PalanError):
                    raise result

        self.do(work())

    @rule()
    def restart(self) -> None:
        self.engine = self.do(self.engine.restart())
        self.do(self.engine.settle())

    @invariant()
    def store_has_exactly_the_referenced_content(self) -> None:
        catalog = self.engine.images._catalog
        blobs: set[str] = set()
        layers: set[str] = set()
        for target in catalog.targets.values():
            blobs.add(target.digest[7:])
            for manifest in target.manifests:
                blobs.update(blob.digest[7:] for blob in manifest.blobs)
        for image in catalog.images.values():
            blobs.add(image.id[7:])
            layers.update(chain_id[7:] for chain_id in image.record.layers)
            if image.record.manifest is not None:
                blobs.add(image.record.manifest.digest[7:])
                blobs.update(blob.digest[7:] for blob in image.record.manifest.blobs)
        assert self.engine.files() == (blobs, layers)
        assert {container.image for container in self.engine.containers.all} <= set(catalog.images)
        assert not catalog._pins

    def teardown(self) -> None:
        self.do(self.engine.close())
        self.loop.close()
        shutil.rmtree(self.root)


class TestGarbage(Garbage.TestCase):  # type: ignore[misc,valid-type] # made by hypothesis
    """The state machine as a test case for pytest."""

    settings = settings(
        max_examples=10,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # Shrinking would take minutes, and a failure of a race may not occur again.
        phases=(Phase.explicit, Phase.generate),
    )
