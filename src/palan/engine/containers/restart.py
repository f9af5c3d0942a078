"""Restart policies: whether and when a container that ended is started again."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from palan.api.errors import PalanError
from palan.engine.containers.container import Container


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["give_up", "resume_policy", "schedule_restart", "wants_restart"]

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 60.0
RESET_AFTER: Final = 10 * 1_000_000_000
"""A container that ran so many nanoseconds starts again with the first delay."""


def wants_restart(container: Container) -> bool:
    """What the policy says about the last exit."""
    record = container.record
    policy = record.host_config.restart_policy
    if record.stopped_by_user:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            limit = policy.maximum_retry_count
            return record.exit_code != 0 and (not limit or record.restart_count < limit)
    return False


def schedule_restart(engine: "Engine", container: Container) -> bool:
    """Start the container again after its delay, if its policy wants that.

    Returns:
        Whether it will be started again.
    """
    if not wants_restart(container):
        container.restart_delay = 0.0
        return False
    record = container.record
    if container.lasted >= RESET_AFTER:
        container.restart_delay = 0.0
    delay = container.restart_delay or FIRST_DELAY
    container.restart_delay = min(delay * 2, LONGEST_DELAY)
    record.restart_count += 1
    engine.spawn(_restart(engine, container, delay))
    return True


async def _restart(engine: "Engine", container: Container, delay: float) -> None:
    from palan.engine.containers.start import start  # noqa: PLC0415 - start imports exit

    # What is half made is not to be taken for what a crash has left.
    await engine.containers.recovered.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await engine.stopping.wait()
            return  # the next start of the engine goes on from here
    try:
        await start(engine, container, by_policy=True)
    except PalanError as error:
        engine.log.warning("restart failed", container=container.id, reason=error.message)


async def give_up(engine: "Engine", container: Container) -> bool:
    """Stop a container that waits for its restart.

    Returns:
        False when it was not waiting.
    """
    async with container.lock:
        record = container.record
        if record.status != "restarting":
            return False
        record.stopped_by_user = True
        record.status = "exited"
        try:
            await engine.containers.save(container)
        finally:
            container.settle_exit(record.exit_code)
    return True


async def resume_policy(engine: "Engine", container: Container) -> None:
    """After a start of the engine: go on restarting, and start what is always to run.

    What ran when the engine, or the machine, went down and has ended since was put down,
    and its policy has had its say there.  As with dockerd, ``always`` also starts what a
    client has stopped, and ``unless-stopped`` does not.
    """
    record = container.record
    policy = record.host_config.restart_policy.name
    wanted = policy == "always" or (policy == "unless-stopped" and not record.stopped_by_user)
    if wanted and record.status == "exited" and record.started:
        record.status, record.stopped_by_user = "restarting", False
        await engine.containers.save(container)
    if record.status == "restarting" and not container.restart_delay:
        container.restart_delay = FIRST_DELAY
        engine.spawn(_restart(engine, container, 0))
