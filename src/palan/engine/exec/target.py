"""Whether a container can run an exec, or has ended meanwhile."""

import asyncio
import contextlib
from typing import Final

from palan.api.errors import Conflict, PalanError
from palan.engine.exec.surroundings import Target
from palan.host import processes


__all__ = ["check_running", "has_ended", "not_running", "was_ending"]

ENDING: Final = 3.0
"""Seconds to wait for the end of a container whose first process exits."""


def check_running(target: Target, name: str) -> None:
    """Raise ``Conflict`` unless a container runs and is not paused.

    Args:
        target: the container.
        name: the reference by which the client named it, for the message.
    """
    if target.paused:
        raise Conflict(f"Container {name} is paused, unpause the container before exec")
    if not target.running or target.ending:
        raise not_running(target)


def has_ended(target: Target) -> bool:
    """Whether a container has ended, even if the engine has not noticed so far."""
    process = target.process
    if not target.running or target.ending or process is None:
        return True
    return not processes.is_alive(process.pid, process.start_time)


async def was_ending(target: Target, error: OSError | PalanError) -> bool:
    """Whether an exec failed because its container ends.

    The container's first process is the last to end, so it may still exist, but then it exits.
    """
    process = target.process
    if has_ended(target) or process is None:
        return True
    of_request = isinstance(error, PalanError) and error.status < 500
    if not of_request and processes.is_ending(process.pid):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING):
                await target.wait()
    return has_ended(target)


def not_running(target: Target) -> Conflict:
    """Return the error for a container that has ended."""
    return Conflict(f"container {target.id} is not running")
