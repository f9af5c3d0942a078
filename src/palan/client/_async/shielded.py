"""What must be done even while the caller is being cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar


__all__ = ["shielded", "undone"]

T = TypeVar("T")

_PATIENCE: Final = 30
"""Seconds that a cancelled call gets to end, before it is given up."""


async def shielded(work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """See work through; a cancellation in between is raised when it is done."""
    task = asyncio.ensure_future(work(*arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def undone(
    work: Callable[..., Coroutine[Any, Any, T]],
    undo: Callable[[T], Awaitable[None]],
    **arguments: Any,
) -> T:
    """Do work; if it is cancelled, which the engine does not notice in time, undo it.

    Args:
        work: what to do.
        undo: is given what came of it.
        arguments: of the work.
    """
    task = asyncio.ensure_future(work(**arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_PATIENCE)
        if not task.done():
            task.cancel()
        elif task.exception() is None:
            await undo(task.result())
        raise
