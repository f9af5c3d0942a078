"""A lock for each key."""

import asyncio

import pytest

from palan.engine.keyed_lock import KeyedLock


async def test_one_at_a_time_has_a_key() -> None:
    """Tasks acquire the same key one after another, in order; other keys don't wait."""
    lock = KeyedLock()
    told: list[str] = []

    async def work(key: str, name: str) -> None:
        async with lock.alone(key):
            told.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            told.append(f"{name} out")

    await asyncio.gather(work("a", "1"), work("a", "2"), work("b", "3"))
    assert [each for each in told if each[0] != "3"] == ["1 in", "1 out", "2 in", "2 out"]
    assert told.index("3 out") < told.index("2 in") + 1


async def test_nothing_is_kept_of_a_key() -> None:
    """A key is known while a task has it or waits for it, even if a task fails."""
    lock = KeyedLock()
    waiting = asyncio.Event()

    async def hold() -> None:
        async with lock.alone("a"):
            waiting.set()
            await asyncio.Event().wait()

    holder = asyncio.ensure_future(hold())
    await waiting.wait()
    follower = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    holder.cancel()
    await asyncio.wait((holder,))
    assert "a" in lock
    follower.cancel()
    await asyncio.wait((follower,))
    assert "a" not in lock

    with pytest.raises(KeyError):
        async with lock.alone("b"):
            raise KeyError
    assert "b" not in lock
