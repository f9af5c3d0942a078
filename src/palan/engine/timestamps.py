"""Times as clients give them: Unix seconds with a fraction, RFC 3339, or a duration ago."""

import re
import time
from datetime import UTC, datetime, timedelta

from palan.api.errors import InvalidParameter


__all__ = ["parse_time"]

_SECONDS = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,9})[0-9]*)?")
_DURATION = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ns|us|µs|ms|s|m|h)){1,9}")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_UNITS["h"] = 60 * _UNITS["m"]
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?)?(Z|[+-]\d\d:\d\d)?"
)


_FIRST, _LAST = -(2**63), 2**63 - 1
"""Nanoseconds that 64 bits hold, as SQLite and the log's records want them: 1677 to 2262."""


def parse_time(text: str) -> int | None:
    """Nanoseconds since the epoch; None for an empty text or zero.

    A time before 1677 or after 2262 is taken for the first or last that there is.

    Raises:
        InvalidParameter: it is no time, in dockerd's words.
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
