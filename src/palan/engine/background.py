"""Work that continues beside requests, as the rooms of the engine ask for it."""

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar


__all__ = ["Background"]

P = ParamSpec("P")
T = TypeVar("T")


class Background(Protocol):
    """Starts background tasks, and runs slow functions in threads of their own."""

    def spawn(self, work: Any, /, *, endless: bool = False) -> asyncio.Task[Any]:
        """Run a coroutine or future that no caller awaits; exceptions are logged.

        Args:
            work: a coroutine or a future.
            endless: it may run as long as the engine, which cancels it when it stops.
        """

    async def slowly(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may take seconds in one of a few threads kept for that."""
