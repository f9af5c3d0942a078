"""Directories that images are known to have."""

from typing import Final


__all__ = ["PresentDirectories"]

_MAX: Final = 1024


class PresentDirectories:
    """A set of pairs of an image's id and the path of a directory in it, with limited size."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], None] = {}

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether an image, given by its id, has a directory, given by its path."""
        return key in self._found

    def add(self, key: tuple[str, str]) -> None:
        """Remember that an image has a directory; the oldest one is forgotten."""
        while len(self._found) >= _MAX:
            del self._found[next(iter(self._found))]
        self._found[key] = None
