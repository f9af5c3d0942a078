"""Lists of processors and memory nodes, as cgroups and Docker write them (cpuset(7))."""

import re
from typing import Final


__all__ = ["parse_cpuset"]

_MAX: Final = 8192
_PART: Final = re.compile(r"\+?(\d{1,9})(?:-\+?(\d{1,9}))?", re.ASCII)


def parse_cpuset(text: str) -> frozenset[int]:
    """Return the numbers in a list such as ``0-2,4``.

    Raises:
        ValueError: it is malformed; in dockerd's words.
    """
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(f"invalid format: {text}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"invalid format: {text}")
        if last > _MAX:
            raise ValueError(f"value of out range, maximum is {_MAX}")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)
