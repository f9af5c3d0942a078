"""A lock for each key, which exists only while a task holds it or waits for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


__all__ = ["KeyedLock"]


class KeyedLock:
    """Locks by key: tasks with the same key run one at a time, other keys are independent."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted: Counter[str] = Counter()

    def __contains__(self, key: str) -> bool:
        """Whether a task holds the key or waits for it."""
        return key in self._locks

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of one key; tasks get it in the order in which they asked."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._wanted[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._locks[key], self._wanted[key]
