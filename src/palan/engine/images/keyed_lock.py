"""A lock for each key, there only as long as somebody has it or waits for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


__all__ = ["KeyedLock"]


class KeyedLock:
    """Lets one at a time do something with a key; other keys go on meanwhile."""

    def __init__(self) -> None:
        """Nobody has any key."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted: Counter[str] = Counter()

    def __contains__(self, key: str) -> bool:
        """Whether somebody has the key, or waits for it."""
        return key in self._locks

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncIterator[None]:
        """Nobody else has this key meanwhile."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._wanted[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._locks[key], self._wanted[key]
