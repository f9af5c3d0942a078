"""Background tasks and slow functions, which the rooms of the engine start and do not await."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import structlog


__all__ = ["Background", "BackgroundWork"]

_log = structlog.get_logger("palan.engine")

_SLOW_THREADS: Final = 2
"""Threads for slow functions: few, as such work must not delay the start of containers."""

_PATIENCE: Final = 5
"""Seconds for tasks to end when the engine stops."""

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


class BackgroundWork(Background):
    """The background tasks of one engine, and its threads for slow functions.

    Attributes:
        stopping: set when the engine stops; a task that sleeps should end then.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._threads = ThreadPoolExecutor(_SLOW_THREADS, thread_name_prefix="slow")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._endless: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Any, /, *, endless: bool = False) -> asyncio.Task[Any]:
        """See :meth:`Background.spawn`."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        (self._endless if endless else self._tasks).add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._endless.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", exc_info=error)

    async def slowly(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See :meth:`Background.slowly`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    def begin_stop(self) -> None:
        """Set :attr:`stopping` and cancel the endless tasks."""
        self.stopping.set()
        for task in self._endless:
            task.cancel()

    async def finish(self) -> None:
        """Wait some seconds for the other tasks, then cancel them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Close the threads; functions that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
