"""Finding files of a layer in the layers below it, without a mount.

Each layer is walked once, path after path in sorted order, with one descriptor that moves from
directory to directory. So the work is bounded by the length of the paths times the number of
layers. Layers don't change while they are walked.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Self


__all__ = ["Walk", "is_opaque", "visible"]

_OPAQUE: Final = "trusted.overlay.opaque"
_PLACE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """A walk through the real directories below ``root``; links are not followed.

    Attributes:
        opens: number of files that were opened, for tests.
    """

    def __init__(self, root: Path, *, opaque: bool = False) -> None:
        """Begin at the root.

        Args:
            root: the directory.
            opaque: whether to look for opaque directories on the way.
        """
        self.opens = 0
        self._names: list[str] = []
        self._hiding = 0
        self._hides: list[bool] = []
        self._blocked = False
        self._opaque = opaque
        self._here = os.open(root, _PLACE & ~os.O_NOFOLLOW | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._here)

    def find(self, path: str) -> tuple[int | None, bool]:
        """Open a file with ``O_PATH``.

        Args:
            path: the path, cleaned; "" is the root.

        Returns:
            Its descriptor, which the caller closes, or None; and whether the layers below are
            hidden at this path.
        """
        parent, _, name = path.rpartition("/")
        place = self.directory(parent)
        if place is None:
            return None, self._hiding > 0 or self._blocked
        found = self._open(name or ".")
        if found is None:
            return None, self._hiding > 0
        info = os.fstat(found)
        if stat.S_ISCHR(info.st_mode) and not info.st_rdev:  # a whiteout
            os.close(found)
            return None, True
        return found, True

    def directory(self, path: str) -> int | None:
        """Move to a directory; return its descriptor, which is valid until the next move."""
        names = path.split("/") if path else []
        common = 0
        for ours, theirs in zip(self._names, names, strict=False):
            if ours != theirs:
                break
            common += 1
        self._blocked = False
        while len(self._names) > common:
            self._enter(os.open("..", _PLACE, dir_fd=self._here))
            self._names.pop()
            self._hiding -= self._hides.pop()
        for name in names[common:]:
            found = self._open(name)
            if found is None:
                return None
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                os.close(found)
                self._blocked = True
                return None
            self._enter(found)
            self._names.append(name)
            self._hides.append(self._opaque and is_opaque(found))
            self._hiding += self._hides[-1]
        return self._here

    def _open(self, name: str) -> int | None:
        self.opens += 1
        try:
            return os.open(name, _PLACE, dir_fd=self._here)
        except FileNotFoundError:
            return None

    def _enter(self, directory: int) -> None:
        os.close(self._here)
        self._here = directory


def visible(
    paths: Iterable[str], lower: Sequence[Path], check: Callable[[], object] = lambda: None
) -> dict[str, Path]:
    """Return the layer in which each path is visible; whiteouts and opaque directories hide others.

    Args:
        paths: the paths, cleaned; "" is the root.
        lower: the unpacked layers, topmost first.
        check: called often; may raise to end the search.
    """
    found: dict[str, Path] = {}
    # In this order, neighbours have most of their path in common.
    remaining = sorted(set(paths), key=lambda path: path.replace("/", "\0"))
    for layer in lower:
        deeper = []
        with Walk(layer, opaque=True) as walk:
            for path in remaining:
                check()
                handle, hidden = walk.find(path)
                if handle is not None:
                    os.close(handle)
                    found[path] = layer
                elif not hidden:
                    deeper.append(path)
        remaining = deeper
        if not remaining:
            break
    return found


def is_opaque(directory: int) -> bool:
    """Whether a directory, opened with ``O_PATH``, hides those below it."""
    try:
        return os.getxattr(f"/proc/self/fd/{directory}", _OPAQUE) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise
