"""Streams of samples, of containers that do not run."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.support.containers import fake_context, make_container

from palan.api.errors import InternalError
from palan.engine.containers import stats
from palan.engine.containers.stats import StatsStreams


@pytest.fixture
async def container():
    return make_container(status="exited")


@pytest.fixture
def streams(container, monkeypatch):
    monkeypatch.setattr(stats, "_INTERVAL", 600.0)
    context = fake_context(container)
    context.machine.facts = SimpleNamespace(memory_total=1)
    return StatsStreams(context)


def stream(streams, container):
    return streams.answer(container, stream=True, one_shot=False).messages


async def test_a_stream_ends_when_its_container_is_removed(streams, container):
    first, second = stream(streams, container), stream(streams, container)
    async with asyncio.timeout(5):
        assert (await anext(first)).id == container.id
        await anext(second)
        waiting = [asyncio.ensure_future(anext(one, None)) for one in (first, second)]
        container.resolve_removal(InternalError("the disk is busy"))
        await asyncio.sleep(0.01)
        assert not any(one.done() for one in waiting)
        container.removed = True
        container.resolve_removal(0)
        assert await asyncio.gather(*waiting) == [None, None]


async def test_a_stream_of_a_container_that_was_just_removed_ends(streams, container):
    first = stream(streams, container)
    async with asyncio.timeout(5):
        await anext(first)
        container.removed = True
        container.resolve_removal(0)
        await asyncio.sleep(0.01)
        second = stream(streams, container)
        assert len([sample async for sample in second]) == 1
        await first.aclose()


async def test_a_stream_that_is_closed_leaves_nothing_on_the_container(streams, container):
    for _ in range(3):
        opened = stream(streams, container)
        await anext(opened)
        await opened.aclose()
    assert not container.removal._callbacks
