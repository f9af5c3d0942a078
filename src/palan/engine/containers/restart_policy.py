"""Restart policies: whether and after which delay a container that ended is started again.

No clock and no tasks: :mod:`palan.engine.containers.lifecycle` acts on these decisions.
"""

from typing import Final

from palan.engine.containers.record import ContainerRecord


__all__ = [
    "FIRST_DELAY",
    "LONGEST_DELAY",
    "RESET_AFTER",
    "delays",
    "starts_with_engine",
    "wants_restart",
]

FIRST_DELAY: Final = 0.1
"""Seconds before the first restart; each further one waits twice as long."""

LONGEST_DELAY: Final = 60.0
"""Seconds."""

RESET_AFTER: Final = 10 * 1_000_000_000
"""A container that ran so many nanoseconds starts again with the first delay."""


def wants_restart(record: ContainerRecord) -> bool:
    """Whether the policy of a container wants it started again after its last exit."""
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


def delays(scheduled: float, lasted: int) -> tuple[float, float]:
    """Return the seconds to wait before this restart, and before the next one.

    Args:
        scheduled: what the last call returned for the next restart; 0 before the first one.
        lasted: nanoseconds that the container ran.
    """
    delay = FIRST_DELAY if lasted >= RESET_AFTER or not scheduled else scheduled
    return delay, min(delay * 2, LONGEST_DELAY)


def starts_with_engine(record: ContainerRecord) -> bool:
    """Whether a container that has ended is started when the engine starts.

    As with dockerd, ``always`` also starts a container that a client has stopped, and
    ``unless-stopped`` does not.
    """
    policy = record.host_config.restart_policy.name
    wanted = policy == "always" or (policy == "unless-stopped" and not record.stopped_by_user)
    return wanted and record.status == "exited" and record.started > 0
