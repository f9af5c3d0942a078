"""API versions, and the range that Palan supports."""

from functools import lru_cache
from typing import NamedTuple


__all__ = ["MAX_VERSION", "MIN_VERSION", "Version"]


class Version(NamedTuple):
    """An API version such as 1.41, ordered as a pair of numbers."""

    major: int
    minor: int

    @classmethod
    @lru_cache(maxsize=256)  # called twice per request, with a few texts
    def parse(cls, text: str) -> "Version":
        """Parse ``1.41``; like dockerd, also ``1`` (1.0), ``1.041`` and ``1.41.0``.

        Raises:
            ValueError: the text is not a version.
        """
        parts = text.split(".")
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(text)
        major, minor, *_ = (*map(int, parts), 0)
        return cls(major, minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MIN_VERSION = Version(1, 24)
MAX_VERSION = Version(1, 55)
