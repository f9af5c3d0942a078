"""API versions: ordered pairs, and the range that Palan speaks."""

import re
from functools import lru_cache
from typing import NamedTuple


__all__ = ["MAX_VERSION", "MIN_VERSION", "Version"]


class Version(NamedTuple):
    """An API version such as 1.41; compares as a pair of numbers."""

    major: int
    minor: int

    @classmethod
    @lru_cache(maxsize=256)  # a few texts, twice with every request
    def parse(cls, text: str) -> "Version":
        """Read ``1.41``; like dockerd, also ``1`` (1.0), ``1.041`` and ``1.41.0``.

        Raises:
            ValueError: the text is no version.
        """
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
            raise ValueError(text)
        major, minor, *_ = (*(int(part) for part in text.split(".")), 0)
        return cls(major, minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MIN_VERSION = Version(1, 24)
MAX_VERSION = Version(1, 55)
