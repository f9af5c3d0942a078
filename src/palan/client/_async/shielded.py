"""Work that must be done even if the caller is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar


__all__ = ["shielded", "undo_if_cancelled"]

T = TypeVar("T")

_GRACE_SECONDS: Final = 30
"""The time that a cancelled call has to end before it is abandoned."""


async def shielded(work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Do work to its end; a cancellation meanwhile is raised afterwards."""
    task = asyncio.ensure_future(work(*arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def undo_if_cancelled(
    work: Callable[..., Coroutine[Any, Any, T]],
    undo: Callable[[T], Awaitable[None]],
    **arguments: Any,
) -> T:
    """Do work; if the caller is cancelled meanwhile, wait for its result and undo it.

    The engine would not notice the cancellation in time.

    Args:
        work: the function to call.
        undo: called with the result of the work.
        arguments: the arguments of the work.
    """
    task = asyncio.ensure_future(work(**arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_GRACE_SECONDS)
        if not task.done():
            task.cancel()
        elif task.exception() is None:
            await undo(task.result())
        raise
