"""What must be done even while the caller is being cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


__all__ = ["shielded"]


async def shielded(work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """See work through; a cancellation in between is raised when it is done."""
    task = asyncio.ensure_future(work(*arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
