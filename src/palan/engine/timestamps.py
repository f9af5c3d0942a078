"""Parsing times (Unix seconds, RFC 3339, a duration ago), and printing them as Go does."""

import re
import time
from datetime import UTC, datetime, timedelta

from palan.api.errors import InvalidParameter


__all__ = ["ZERO_TIME", "go_duration", "go_time", "parse_duration", "parse_time"]

ZERO_TIME = "0001-01-01T00:00:00Z"

_SECONDS = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,9})[0-9]*)?")
_DURATION = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ns|us|µs|ms|s|m|h)){1,9}")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_UNITS["h"] = 60 * _UNITS["m"]
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?)?(Z|[+-]\d\d:\d\d)?"
)


_FIRST, _LAST = -(2**63), 2**63 - 1
"""Nanoseconds that fit into 64 bits, as SQLite and log records store them: 1677 to 2262."""


def parse_time(text: str) -> int | None:
    """Return nanoseconds since the epoch; None for an empty text or zero.

    A time before 1677 or after 2262 counts as the earliest or latest that 64 bits hold.

    Raises:
        InvalidParameter: it is malformed, in dockerd's words.
    """
    if text in ("", "0"):
        return None
    return max(_FIRST, min(_nanoseconds(text), _LAST))


def _nanoseconds(text: str) -> int:
    if match := _SECONDS.fullmatch(text):
        seconds, fraction = match.groups()
        return int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))
    if _DURATION.fullmatch(text):
        ago = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return time.time_ns() - int(ago)
    if match := _DATE.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or ''}")
        except ValueError:
            pass
        else:
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
            return whole * 10**9 + int((fraction or "").ljust(9, "0"))
    raise InvalidParameter(f'invalid timestamp "{text}": invalid seconds "{text}": invalid syntax')


def go_time(nanoseconds: int) -> str:
    """Return nanoseconds since the epoch as Go prints a time: UTC, without trailing zeros."""
    if not nanoseconds:
        return ZERO_TIME
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def parse_duration(text: str) -> int:
    """Return the nanoseconds of a duration as Go writes it: ``1m30s``, ``-2s``, ``0``.

    Raises:
        ValueError: it is malformed; in Go's words.
    """
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if digits == "0":
        return 0
    if not _DURATION.fullmatch(digits):
        unit = "missing unit in" if re.fullmatch(r"[0-9.]+", digits) else "invalid"
        raise ValueError(f'time: {unit} duration "{text}"')
    return sign * int(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(digits)))


def go_duration(nanoseconds: int) -> str:
    """Return a duration as Go prints it: ``1.5s``, ``2m0s``, ``250ms``, ``1h0m0s``."""
    if not nanoseconds:
        return "0s"
    for unit, name in ((1, "ns"), (10**3, "µs"), (10**6, "ms")):
        if nanoseconds < unit * 1000:
            return f"{_decimal(nanoseconds, unit)}{name}"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    seconds = f"{_decimal(rest, 10**9)}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(value: int, unit: int) -> str:
    """Return ``value / unit`` without trailing zeros; ``unit`` is a power of ten."""
    whole, fraction = divmod(value, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if unit > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)
