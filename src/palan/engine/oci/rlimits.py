"""Resource limits of processes: their names and values, clamped to those of the engine.

An engine without CAP_SYS_RESOURCE cannot raise a hard limit above its own.  Higher limits are
clamped and reported, so that the container starts nevertheless.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from palan.api.errors import InvalidParameter
from palan.engine.oci.host import UNLIMITED, ProcessLimits


__all__ = ["NAMES", "Limit", "check_ulimit", "merge_ulimits", "oci_rlimits", "rlimit_warnings"]

_NAMES: Final = """
    as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending
    stack
"""
NAMES: Final = frozenset(_NAMES.split())


class Limit(Protocol):
    """A limit of the API or the configuration; -1 for unlimited."""

    @property
    def name(self) -> str:
        """The name, such as ``nofile``."""

    @property
    def soft(self) -> int:
        """The limit in force."""

    @property
    def hard(self) -> int:
        """The value to which the process may raise it."""


def check_ulimit(limit: Limit) -> None:
    """Check the name of a limit, and that the soft one does not exceed the hard one.

    Raises:
        InvalidParameter: in the words of the docker command line.
    """
    if limit.name.lower() not in NAMES:
        raise InvalidParameter(f"invalid ulimit type: {limit.name}")
    if limit.soft < -1 or limit.hard < -1:
        raise InvalidParameter(
            f"invalid ulimit {limit.name}: {min(limit.soft, limit.hard)}; use -1 for no limit"
        )
    if limit.hard == -1 or 0 <= limit.soft <= limit.hard:
        return
    why = "ulimit soft limit must be less than or equal to hard limit"
    if limit.soft == -1:
        raise InvalidParameter(f"{why}: soft: -1 (unlimited), hard: {limit.hard}")
    raise InvalidParameter(f"{why}: {limit.soft} > {limit.hard}")


def merge_ulimits(limits: Iterable[Limit] | None, defaults: Mapping[str, Limit]) -> list[Limit]:
    """Return a container's limits, and the engine's defaults for those that it does not name."""
    given = list(limits or ())
    named = {limit.name.lower() for limit in given}
    return [*given, *(limit for name, limit in defaults.items() if name.lower() not in named)]


def oci_rlimits(limits: Iterable[Limit], machine: ProcessLimits) -> list[dict[str, Any]]:
    """Return ``process.rlimits`` of a runtime spec, clamped to the machine's limits."""
    result = []
    for limit in limits:
        soft, hard = _clamped(limit, machine)
        result.append({"type": f"RLIMIT_{limit.name.upper()}", "soft": soft, "hard": hard})
    return result


def rlimit_warnings(limits: Iterable[Limit], machine: ProcessLimits) -> list[str]:
    """Return warnings about limits that are clamped."""
    warnings = []
    for limit in limits:
        _, hard = _clamped(limit, machine)
        if hard < _value(limit.hard):
            asked = "unlimited" if limit.hard == -1 else limit.hard
            warnings.append(
                f"The engine cannot raise the hard limit {limit.name} to {asked};"
                f" it is limited to {hard}."
            )
    return warnings


def _value(number: int) -> int:
    return UNLIMITED if number == -1 else number


def _clamped(limit: Limit, machine: ProcessLimits) -> tuple[int, int]:
    name = limit.name.lower()
    ceiling = UNLIMITED if machine.may_raise else machine.hard.get(name, UNLIMITED)
    if name == "nofile":
        ceiling = min(ceiling, machine.open_files)
    hard = min(_value(limit.hard), ceiling)
    return min(_value(limit.soft), hard), hard
