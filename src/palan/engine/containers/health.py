"""The health of a container, and how the results of its checks change it.

No clock and no processes: :mod:`palan.engine.containers.health_monitor` runs the checks.
Numbers and rules are dockerd's.
"""

from typing import Final, Literal

import msgspec

from palan.api import Unset
from palan.api.containers import ContainerConfig, Health, HealthcheckResult, HealthConfig
from palan.engine.timestamps import go_time


__all__ = [
    "OUTPUT_MAX",
    "HealthRecord",
    "Result",
    "check_of",
    "probe_timeout",
    "probe_wait",
    "shown_status",
]

OUTPUT_MAX: Final = 4096
"""Bytes of a check's output that are kept."""

_SECOND: Final = 1_000_000_000
_RESULTS: Final = 5
_INTERVAL: Final = 30 * _SECOND
_TIMEOUT: Final = 30 * _SECOND
_START_INTERVAL: Final = 5 * _SECOND
_RETRIES: Final = 3

HealthStatus = Literal["starting", "healthy", "unhealthy"]


class Result(msgspec.Struct, kw_only=True):
    """The result of one check.  Times are nanoseconds since the epoch."""

    start: int
    end: int
    exit_code: int
    output: str


class HealthRecord(msgspec.Struct, kw_only=True):
    """The health of a container that has checks, as it is stored."""

    status: HealthStatus = "starting"
    failing_streak: int = 0
    log: list[Result] = []

    def begin(self) -> None:
        """Begin anew, as the container has started; earlier results stay in the log."""
        self.status, self.failing_streak = "starting", 0

    def add(self, result: Result, check: HealthConfig, elapsed: int) -> bool:
        """Add a result.

        Args:
            result: the result of a check.
            check: the container's configuration.
            elapsed: nanoseconds from the container's start to the check's.

        Returns:
            Whether the status has changed.
        """
        before = self.status
        self.log = [*self.log[1 - _RESULTS :], result]
        if result.exit_code == 0:
            self.status, self.failing_streak = "healthy", 0
        elif before != "starting" or elapsed >= check.start_period:
            self.failing_streak += 1
            if self.failing_streak >= (check.retries or _RETRIES):
                self.status = "unhealthy"
        return self.status != before

    def message(self) -> Health:
        """Return the health as inspect shows it."""
        return Health(
            status=self.status,
            failing_streak=self.failing_streak,
            log=[
                HealthcheckResult(
                    start=go_time(result.start),
                    end=go_time(result.end),
                    exit_code=result.exit_code,
                    output=result.output,
                )
                for result in self.log
            ],
        )


def shown_status(health: HealthRecord | None) -> str:
    """Return the words that a list shows in parentheses; empty without checks."""
    if health is None:
        return ""
    return "health: starting" if health.status == "starting" else health.status


def check_of(config: ContainerConfig) -> tuple[HealthConfig, list[str]] | None:
    """Return the check of a container and its command; None if it has no check.

    A check of an unknown kind counts as none; the client was warned at create.
    """
    check = config.healthcheck
    if isinstance(check, Unset) or not check.test:
        return None
    kind, *command = check.test
    if kind == "CMD-SHELL":
        command = [*(config.shell or ("/bin/sh", "-c")), *command]
    elif kind != "CMD":
        return None
    return (check, command) if command else None


def probe_timeout(check: HealthConfig) -> int:
    """Return the nanoseconds that a check may take once it runs."""
    return check.timeout or _TIMEOUT


def probe_wait(check: HealthConfig, health: HealthRecord, elapsed: int) -> int:
    """Return the nanoseconds from the end of a check, or from the start, to the next check.

    Args:
        check: the container's configuration.
        health: the results so far.
        elapsed: nanoseconds since the container's start.
    """
    if elapsed < check.start_period and health.status == "starting":
        return check.start_interval or _START_INTERVAL
    return check.interval or _INTERVAL
