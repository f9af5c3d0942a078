"""Finding the files that ``COPY`` and ``ADD`` select, and their checksums.  Blocking."""

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from palan.api.errors import InternalError, InvalidParameter
from palan.engine.builder.build_context import outside_context
from palan.engine.builder.checksums import Checksums, combined
from palan.host.rootfs import lookup, names_in
from palan.patterns import BadPattern, compile_glob


__all__ = ["Picked", "combined_checksum", "pick"]

_WILD: Final = frozenset("*?[")
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Picked:
    """A file or directory that a source of ``COPY`` selects.

    Attributes:
        path: its path in its tree.
        checksum: its checksum, see :class:`Checksums`.
        fetched: it was downloaded, and is not unpacked even if it is an archive.
    """

    path: str
    checksum: str
    fetched: bool = False


def combined_checksum(picked: list[Picked]) -> str:
    """Return the checksum of all selected files, as the history shows it."""
    if len(picked) == 1:
        return picked[0].checksum
    return combined("multi", (each.checksum for each in picked))


def pick(root: int, sums: Checksums, source: str, *, context: bool) -> list[Picked]:
    """Return the files that a source selects.

    Args:
        root: a descriptor of the root of the tree.
        sums: the checksums of that tree.
        source: a path or a pattern.
        context: the tree is the build context and not an image.

    Raises:
        InvalidParameter: no file matches, or the path leads out of the tree.
        InternalError: a file can't be read.
    """
    path = source.removeprefix("/").removeprefix("./")
    if context and posixpath.normpath(path).split("/")[0] == "..":
        raise outside_context(path)
    try:
        if _WILD.isdisjoint(path):
            return [_one(root, sums, path, context=context)]
        return [_one(root, sums, match, context=context) for match in _matching(root, path)]
    except OSError as error:
        raise InternalError(f"{source}: {str(error.strerror).lower()}") from None


def _one(root: int, sums: Checksums, path: str, *, context: bool) -> Picked:
    try:
        os.close(lookup(root, path or ".", follow=True))
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        where = "file not found in build context or excluded by .dockerignore: " if context else ""
        raise InvalidParameter(f"{where}stat {path}: file does not exist") from None
    return Picked(path, sums.of(path))


def _matching(root: int, pattern: str) -> Iterator[str]:
    """Yield the paths that match a pattern, sorted by name."""
    pattern = posixpath.normpath(pattern)
    try:
        compiled = compile_glob(pattern)
    except BadPattern:
        return
    deepest = pattern.count("/")
    pending = [""]
    while pending:
        path = pending.pop()
        if path and compiled.fullmatch(path):
            yield path
        if path and path.count("/") >= deepest:
            continue
        info = os.stat(path or ".", dir_fd=root, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            continue
        names = reversed(names_in(root, path))
        pending += (f"{path}/{name}" if path else name for name in names)
