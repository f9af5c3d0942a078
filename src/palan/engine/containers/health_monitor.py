"""The task that makes the health checks of a container, from its start to its end.

A task for each container sleeps, runs the check, adds the result, and sleeps again.
Results are saved at once, so that the next engine continues with them.  A container that is
paused or has ended has no checks and, as with dockerd, counts as unhealthy, without an event.
"""

import asyncio
import random
import time
from typing import Final

from palan.api.containers import HealthConfig
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.health import (
    OUTPUT_MAX,
    HealthRecord,
    Result,
    check_of,
    probe_timeout,
    probe_wait,
)


__all__ = ["begin_checks", "resume_checks", "stop_checks"]

_SPREAD: Final = 1_000_000_000
"""Nanoseconds over which overdue checks are spread when the engine starts."""


def begin_checks(context: ContainerContext, container: Container) -> None:
    """Begin the checks of a container that was just started."""
    if check_of(container.record.config) is None:
        return
    container.health = container.health or HealthRecord()
    container.health.begin()
    context.save_health(container)
    _begin_task(context, container, wait=None)


def resume_checks(
    context: ContainerContext, container: Container, *, overdue: bool = False
) -> None:
    """Continue the checks after a pause, or after a start of the engine.

    Args:
        context: the context of the room.
        container: the container, which runs and is not paused.
        overdue: make a check soon if one was due while no engine ran.
    """
    found = check_of(container.record.config)
    if found is None:
        return
    health = container.health = container.health or HealthRecord()
    wait = None
    if overdue:
        now, started = time.time_ns(), container.record.started
        last = health.log[-1].end if health.log else 0
        usual = probe_wait(found[0], health, max(0, now - started))
        # Not all containers at once; and the clock may have been set back.
        soon = random.randrange(min(_SPREAD, usual) + 1)  # noqa: S311 - no secret
        wait = min(usual, max(soon, max(started, last) + usual - now))
    _begin_task(context, container, wait=wait)


def stop_checks(context: ContainerContext, container: Container) -> None:
    """Stop the checks; one that runs is killed, and its result ignored."""
    checks, container.checks = container.checks, None
    if checks is not None and container.health is not None:
        checks.cancel()
        container.health.status = "unhealthy"
        context.save_health(container)


def _begin_task(context: ContainerContext, container: Container, *, wait: int | None) -> None:
    found = check_of(container.record.config)
    if found is not None and container.checks is None:
        work = _make_checks(context, container, *found, wait=wait)
        container.checks = context.spawn(work, endless=True)


async def _make_checks(
    context: ContainerContext,
    container: Container,
    check: HealthConfig,
    command: list[str],
    *,
    wait: int | None,
) -> None:
    """Make checks until cancelled; the first one after ``wait`` nanoseconds, or when it is due."""
    health = container.health
    assert health is not None  # noqa: S101 - it was made when the checks began
    started = container.record.started
    # By a monotonic clock, as far as this engine has run.
    begun = time.monotonic_ns() - max(0, time.time_ns() - started)
    while True:
        if wait is None:
            wait = probe_wait(check, health, time.monotonic_ns() - begun)
        await asyncio.sleep(wait / 1e9)
        wait, start, elapsed = None, time.time_ns(), time.monotonic_ns() - begun
        outcome = await context.exec.probe(
            container.id, command, timeout_ns=probe_timeout(check), max_output=OUTPUT_MAX
        )
        result = Result(
            start=start, end=time.time_ns(), exit_code=outcome.code, output=outcome.output
        )
        if health.add(result, check, elapsed):
            context.events.publish(
                "container",
                f"health_status: {health.status}",
                container.id,
                container.attributes,
            )
        context.save_health(container)
