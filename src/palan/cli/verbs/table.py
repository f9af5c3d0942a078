"""Tables, sizes and ages for people, as the docker CLI prints them."""

import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final


__all__ = ["ago", "print_table", "seconds_of", "short", "size"]

_TIME: Final = re.compile(r"(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?")
_STEPS: Final = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (48 * 3600, 3600, "hour"),
    (14 * 86400, 86400, "day"),
    (60 * 86400, 7 * 86400, "week"),
    (730 * 86400, 30 * 86400, "month"),
)


_MIN_WIDTH: Final = 7


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns with three blanks between them, each at least ten wide with its blanks."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [
        max(_MIN_WIDTH, *(len(line[column]) for line in lines)) for column in range(len(heads))
    ]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("   ".join(cells).rstrip())


def short(identity: str) -> str:
    """Return the first twelve digits of an id."""
    return identity.removeprefix("sha256:")[:12]


def size(count: float, base: int = 1000, digits: int = 3) -> str:
    """Return a number of bytes with a unit, such as ``1.98MB``.

    Args:
        count: the bytes.
        base: 1000 for kB, MB ...; 1024 for KiB, MiB ...
        digits: the number of significant digits for base 1000; base 1024 has four.
    """
    units = ("B", "kB", "MB", "GB", "TB") if base == 1000 else ("B", "KiB", "MiB", "GiB", "TiB")
    value = float(count)
    place = 0
    while value >= base and place < len(units) - 1:
        value /= base
        place += 1
    text = f"{value:.4g}" if base == 1024 else f"{value:.{digits}g}"
    return f"{float(text):g}{units[place]}"


def seconds_of(text: str) -> float:
    """Return an RFC 3339 time as Unix seconds, exact to the microsecond; 0 if it is malformed."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0.0
    whole, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z") else zone
    return datetime.fromisoformat(f"{whole}.{(fraction or '0')[:6]:0<6}{zone}").timestamp()


def ago(moment: float, now: float | None = None) -> str:
    """Return the age of a moment in words, such as ``2 hours ago``."""
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    if seconds < 1:
        return "Less than a second ago"
    for limit, unit, word in _STEPS:
        if seconds < limit:
            count = int(seconds // unit)
            if unit == 60 and count == 1:
                return "About a minute ago"
            if unit == 3600 and count == 1:
                return "About an hour ago"
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return f"{int(seconds // (365 * 86400))} years ago"
