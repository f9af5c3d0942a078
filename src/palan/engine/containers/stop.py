"""Stopping a container: ``kill``, ``stop`` and the first half of ``restart``.

None of these holds the container's lock while it waits, so that a kill works while a stop
waits.  :mod:`palan.engine.containers.lifecycle` handles the end of the container itself.
"""

import asyncio
import contextlib
import signal

from palan.api import UNSET
from palan.api.errors import Conflict, InternalError, InvalidParameter, NotModified
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.freezer import is_frozen, thaw
from palan.engine.containers.lifecycle import cancel_restart
from palan.engine.containers.pause import unpause
from palan.engine.signals import parse_signal


__all__ = ["kill", "kill_now", "stop"]

STOP_TIMEOUT = 10
"""Seconds between the stop signal and SIGKILL by default."""

KILL_TIMEOUT = 30
"""Seconds after SIGKILL until the engine reports that the process does not end."""

STREAMS_TIMEOUT = 2
"""Seconds after SIGKILL that clients have to read the rest of the output."""


async def kill_now(context: ContainerContext, container: Container) -> None:
    """Kill a container, publish that, and wait for its end.

    Raises:
        InternalError: its process does not end.
    """
    exited = container.exit
    _send(context, container, signal.SIGKILL)
    if container.paused:
        # A frozen process dies only once it is thawed (cgroup v1).
        await _thaw(context, container)
    await _wait_for_end(context, container, exited)


def _send(context: ContainerContext, container: Container, number: int) -> None:
    """Signal the first process through its pidfd; one that has ended is no error."""
    if container.monitored is not None:
        container.monitored.signal(number)
        # It reports the end, unless it was stopped as well.
        container.monitored.wake()
    context.events.publish(
        "container", "kill", container.id, {**container.attributes, "signal": str(number)}
    )


async def _unpause(context: ContainerContext, container: Container) -> None:
    """Unpause a container, so that it can handle the signal to stop."""
    with contextlib.suppress(InternalError):  # it is no longer paused
        await unpause(context, container)


async def kill(context: ContainerContext, container: Container, text: str, *, name: str) -> None:
    """``POST /containers/{id}/kill``.

    Raises:
        InvalidParameter: there is no such signal.
        Conflict: the container is not running.
    """
    prefix = f"cannot kill container: {name}: "
    try:
        number = parse_signal(text or "SIGKILL")
    except InvalidParameter as error:
        raise InvalidParameter(prefix + error.message) from None
    if container.record.status == "restarting" and await cancel_restart(context, container):
        return
    if not container.running:
        raise Conflict(f"{prefix}container {container.id} is not running")
    if number in (signal.SIGKILL, parse_signal(container.record.config.stop_signal or "SIGTERM")):
        container.record.stopped_by_user = True
    if number == signal.SIGKILL:
        await kill_now(context, container)
        return
    _send(context, container, number)
    if container.record.stopped_by_user and container.paused:
        await _unpause(context, container)


async def stop(
    context: ContainerContext, container: Container, text: str, seconds: int | None, *, name: str
) -> None:
    """``POST /containers/{id}/stop``: the stop signal, a timeout, SIGKILL.

    Args:
        context: the context of the room.
        container: the container.
        text: the signal; empty for the container's own.
        seconds: seconds to wait for its end, negative for no limit; None for the container's own.
        name: the name that the client used, for messages.

    Raises:
        NotModified: it is not running.
        InvalidParameter: there is no such signal.
        InternalError: it does not end, even when it is killed.
    """
    config = container.record.config
    if container.record.status == "restarting" and await cancel_restart(context, container):
        context.events.publish("container", "stop", container.id, container.attributes)
        return
    if not container.running:
        raise NotModified(f"container {container.id} is already stopped")
    try:
        number = parse_signal(text or config.stop_signal or "SIGTERM")
    except InvalidParameter as error:
        raise InvalidParameter(f"cannot stop container: {name}: {error.message}") from None
    if seconds is None:
        seconds = STOP_TIMEOUT if config.stop_timeout is UNSET else config.stop_timeout
    container.record.stopped_by_user = True
    exited = container.exit
    _send(context, container, number)
    if container.paused:
        await _unpause(context, container)
    try:
        async with asyncio.timeout(None if seconds < 0 else seconds):
            await asyncio.shield(exited)
    except TimeoutError:
        if not exited.done():
            await kill_now(context, container)
    context.events.publish("container", "stop", container.id, container.attributes)


async def _wait_for_end(
    context: ContainerContext, container: Container, exited: asyncio.Future[int]
) -> None:
    """Wait for the end of a container that was killed.

    Args:
        context: the context of the room.
        container: the container.
        exited: its ``exit`` from before it was killed.

    Raises:
        InternalError: its process does not end.
    """
    for second in range(1, KILL_TIMEOUT + 1):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(exited)
                return
        if second >= STREAMS_TIMEOUT:
            _drop_clients(context, container)
        # It may have been frozen after it was killed, by a client or by another program.
        if await asyncio.to_thread(is_frozen, context, container):
            await _thaw(context, container)
    raise InternalError(
        f"container {container.id} did not exit within {KILL_TIMEOUT} s of SIGKILL;"
        " its processes may be stuck in the kernel"
    )


def _drop_clients(context: ContainerContext, container: Container) -> None:
    """Disconnect the clients of a container and of its execs.

    A client that does not read blocks its conmon, which then does not see the process end;
    and the first process of a container does not end before those of its execs were reaped.
    """
    container.streams.drop()
    context.exec.drop_clients(container.id)


async def _thaw(context: ContainerContext, container: Container) -> None:
    # Its cgroup may be removed already, or a parent may be frozen: then it is tried again.
    with contextlib.suppress(OSError):
        await asyncio.to_thread(thaw, context, container)
