"""Restart policies: whether and when a container that ended is started again."""

import asyncio
from typing import TYPE_CHECKING, Final

from palan.api.errors import PalanError
from palan.engine.containers.container import Container


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["schedule_restart", "wants_restart"]

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
    if record.finished - record.started >= RESET_AFTER:
        container.restart_delay = 0.0
    delay = container.restart_delay or FIRST_DELAY
    container.restart_delay = min(delay * 2, LONGEST_DELAY)
    record.restart_count += 1
    engine.spawn(_restart(engine, container, delay))
    return True


async def _restart(engine: "Engine", container: Container, delay: float) -> None:
    from palan.engine.containers.start import start  # noqa: PLC0415 - start imports exit

    await asyncio.sleep(delay)
    try:
        await start(engine, container, by_policy=True)
    except PalanError as error:
        engine.log.warning("restart failed", container=container.id, reason=error.message)


def resume_policy(engine: "Engine", container: Container) -> None:
    """After a start of the engine: go on restarting what was to be, and start what was running.

    A container that ran when the machine went down has been put down as ended, and its
    policy has had its say there; what is left are those that were waiting for a restart.
    """
    if container.record.status == "restarting" and not container.restart_delay:
        container.restart_delay = FIRST_DELAY
        engine.spawn(_restart(engine, container, FIRST_DELAY))
