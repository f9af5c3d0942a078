"""``POST /containers/{id}/attach``, its WebSocket twin, and ``resize``."""

import contextlib
from collections.abc import AsyncIterator

from palan.api.containers import ContainerAttach, ContainerAttachWebSocket
from palan.api.detach_keys import parse_keys
from palan.api.errors import Conflict
from palan.api.results import Session
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.logdrivers.settings import log_settings
from palan.engine.streams.attach import OutputSession
from palan.engine.streams.logfile import LogOptions
from palan.engine.streams.logs import LogQuery, read_logs


__all__ = ["attach", "resize"]


async def attach(
    context: ContainerContext,
    container: Container,
    request: ContainerAttach | ContainerAttachWebSocket,
) -> Session:
    """Connect a client to a container's streams, now or when it is started.

    ``docker run`` and ``docker start --attach`` attach before the start, also to a
    container that has run and ended before.

    Raises:
        InvalidParameter: the detach keys make no sense.
        Conflict: the container is paused.
    """
    keys = parse_keys(request.detach_keys)
    if container.paused:
        raise Conflict(f"container {request.id} is paused, unpause the container before attach")
    replay = None
    # For a running container all output is read from its log, including later output: it is
    # not known where in the log the output begins that conmon sends to a new client.
    from_log = request.logs and request.stream and container.running and _keeps_log(container)
    if request.logs:
        options = LogOptions(
            tty=container.record.config.tty,
            stdout=request.stdout,
            stderr=request.stderr,
            eager=True,
        )
        query = LogQuery(options, follow=from_log)
        replay = read_logs(context.paths.log(container.id), query, container.ended).chunks
    context.events.publish("container", "attach", container.id, container.attributes)
    if not request.stream:
        return OutputSession(replay or _nothing(), tty=container.record.config.tty)
    return await container.streams.attach(
        stdin=request.stdin,
        stdout=request.stdout,
        stderr=request.stderr,
        detach_keys=keys,
        replay=replay,
        live=not from_log,
        detached=lambda: context.events.publish(
            "container", "detach", container.id, container.attributes
        ),
    )


def _keeps_log(container: Container) -> bool:
    return log_settings(container.record.host_config.log_config).readable


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in tuple[bytes]():
        yield chunk


async def resize(context: ContainerContext, container: Container, height: int, width: int) -> None:
    """Set the size of the container's terminal.

    Raises:
        Conflict: the container is not running.
    """
    if not container.running or container.monitored is None:
        raise Conflict(f"container {container.id} is not running")
    with contextlib.suppress(OSError):  # the container has just ended
        container.monitored.resize(height, width)
    context.events.publish(
        "container",
        "resize",
        container.id,
        {**container.attributes, "height": str(height), "width": str(width)},
    )
