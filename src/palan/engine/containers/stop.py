"""Ending a container: ``kill``, ``stop`` and the first half of ``restart``.

None of these holds the container's lock while it waits, so that a kill gets through
while a stop is being patient.  The exit itself is dealt with in
:mod:`palan.engine.containers.exit`.
"""

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from palan.api import UNSET
from palan.api.errors import Conflict, InternalError, InvalidParameter, NotModified
from palan.engine.containers.container import Container
from palan.engine.containers.pause import unpause
from palan.engine.containers.restart import give_up
from palan.engine.containers.signals import parse_signal


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["gone", "kill", "send_signal", "stop"]

STOP_TIMEOUT = 10
"""Seconds between the stop signal and SIGKILL where nothing else is said."""

KILL_TIMEOUT = 30
"""Seconds after SIGKILL before the engine admits that the kernel does not let go."""


def send_signal(engine: "Engine", container: Container, number: int) -> None:
    """Signal the init process through its pidfd; one that has gone is no error."""
    if container.monitored is None:
        return
    container.monitored.signal(number)
    if number == signal.SIGKILL and container.paused:
        # A frozen process dies only once it is thawed (cgroup v1).
        _thaw(engine, container)


async def _wake(engine: "Engine", container: Container) -> None:
    """Let a paused container go on, so that it can heed the signal to stop."""
    with contextlib.suppress(InternalError):  # it is not paused any more
        await unpause(engine, container)


async def kill(engine: "Engine", container: Container, text: str, *, name: str) -> None:
    """``POST /containers/{id}/kill``.

    Raises:
        InvalidParameter: no such signal.
        Conflict: the container is not running.
    """
    prefix = f"cannot kill container: {name}: "
    try:
        number = parse_signal(text or "SIGKILL")
    except InvalidParameter as error:
        raise InvalidParameter(prefix + error.message) from None
    if container.record.status == "restarting" and await give_up(engine, container):
        return
    if not container.running:
        raise Conflict(f"{prefix}container {container.id} is not running")
    exited = container.exit
    if number in (signal.SIGKILL, parse_signal(container.record.config.stop_signal or "SIGTERM")):
        container.record.stopped_by_user = True
    send_signal(engine, container, number)
    engine.events.publish(
        "container", "kill", container.id, {**container.attributes, "signal": str(number)}
    )
    if number == signal.SIGKILL:
        await gone(engine, container, exited)
    elif container.record.stopped_by_user and container.paused:
        await _wake(engine, container)


async def stop(
    engine: "Engine", container: Container, text: str, patience: int | None, *, name: str
) -> None:
    """``POST /containers/{id}/stop``: the stop signal, patience, SIGKILL.

    Args:
        engine: the engine.
        container: the container.
        text: the signal; empty for the container's own.
        patience: seconds of patience, negative without end; None for the container's own.
        name: what the client called the container, for messages.

    Raises:
        NotModified: it is not running.
        InternalError: no such signal (a 500, as dockerd answers it).
    """
    config = container.record.config
    if container.record.status == "restarting" and await give_up(engine, container):
        engine.events.publish("container", "stop", container.id, container.attributes)
        return
    if not container.running:
        raise NotModified(f"container {container.id} is already stopped")
    try:
        number = parse_signal(text or config.stop_signal or "SIGTERM")
    except InvalidParameter as error:
        raise InvalidParameter(f"cannot stop container: {name}: {error.message}") from None
    if patience is None:
        patience = STOP_TIMEOUT if config.stop_timeout is UNSET else config.stop_timeout
    container.record.stopped_by_user = True
    exited = container.exit
    send_signal(engine, container, number)
    engine.events.publish(
        "container", "kill", container.id, {**container.attributes, "signal": str(number)}
    )
    if container.paused:
        await _wake(engine, container)
    try:
        async with asyncio.timeout(None if patience < 0 else patience):
            await asyncio.shield(exited)
    except TimeoutError:
        send_signal(engine, container, signal.SIGKILL)
        engine.events.publish(
            "container", "kill", container.id, {**container.attributes, "signal": "9"}
        )
        await gone(engine, container, exited)
    engine.events.publish("container", "stop", container.id, container.attributes)


async def gone(engine: "Engine", container: Container, exited: asyncio.Future[int]) -> None:
    """Wait for the end of a container that was killed.

    Args:
        engine: the engine.
        container: the container.
        exited: its ``exit``, taken before it was killed.

    Raises:
        InternalError: the kernel does not let go of it.
    """
    for _ in range(KILL_TIMEOUT):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(exited)
                return
        # It may have been frozen after it was killed, by a client or by somebody else.
        if await asyncio.to_thread(engine.containers.frozen, container):
            await asyncio.to_thread(_thaw, engine, container)
    raise InternalError(
        f"container {container.id} did not exit within {KILL_TIMEOUT} s of SIGKILL;"
        " its processes may be stuck in the kernel"
    )


def _thaw(engine: "Engine", container: Container) -> None:
    with contextlib.suppress(OSError):  # its cgroup has gone with it
        engine.containers.thaw(container)
