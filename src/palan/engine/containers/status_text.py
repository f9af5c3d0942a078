"""The texts of a container's state and of durations in lists."""

import time

from palan.engine.containers.record import ContainerRecord


__all__ = ["human_duration", "status_text"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human_duration(seconds: float) -> str:
    """Return an approximate duration: ``Less than a second``, ``About an hour``, ``3 weeks``."""
    whole = int(seconds)
    steps = (
        (1, "Less than a second"),
        (2, "1 second"),
        (_MINUTE, f"{whole} seconds"),
        (2 * _MINUTE, "About a minute"),
        (_HOUR, f"{whole // _MINUTE} minutes"),
        # Docker rounds hours and truncates everything else.
        (_HOUR * 3 // 2, "About an hour"),
        (_DAY * 2, f"{int(whole / _HOUR + 0.5)} hours"),
        (_DAY * 14, f"{whole // _DAY} days"),
        (_DAY * 60, f"{whole // _DAY // 7} weeks"),
        (_DAY * 730, f"{whole // _DAY // 30} months"),
    )
    for limit, text in steps:
        if whole < limit:
            return text
    return f"{whole // _DAY // 365} years"


def status_text(record: ContainerRecord, now: int | None = None, health: str = "") -> str:  # noqa: PLR0911 - one a state
    """Return the ``Status`` of ``GET /containers/json``.

    Args:
        record: the container.
        now: nanoseconds since the epoch; the present by default.
        health: the word in parentheses (``healthy``, ``health: starting``), if any.
    """
    moment = time.time_ns() if now is None else now

    def since(then: int) -> str:
        return human_duration(max(0, moment - then) / 1e9)

    match record.status:
        case "running":
            up = f"Up {since(record.started)}"
            return f"{up} ({health})" if health else up
        case "paused":
            return f"Up {since(record.started)} (Paused)"
        case "restarting":
            return f"Restarting ({record.exit_code}) {since(record.finished)} ago"
        case "removing":
            return "Removal In Progress"
        case "dead":
            return "Dead"
        case "created":
            return "Created"
        case "exited":
            if not record.finished:
                return "Created"
            return f"Exited ({record.exit_code}) {since(record.finished)} ago"
