"""The rules of ``docker cp``: which directory an archive is unpacked in, and under which name.

Go's modes have the kind of a file in their high bits (``os.FileMode``).
"""

import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from palan.api.results import PathStat
from palan.client._archive_pack import pack
from palan.client._archive_unpack import unpack
from palan.client.errors import ClientError


__all__ = ["is_link", "plan_copy_in", "plan_copy_out"]

_GO_DIRECTORY: Final = 1 << 31
_GO_LINK: Final = 1 << 27


def is_link(kind: PathStat) -> bool:
    """Return whether a path is a symbolic link; some engines give every path a link target."""
    return bool(kind.mode & _GO_LINK)


def _is_directory(kind: PathStat) -> bool:
    return bool(kind.mode & _GO_DIRECTORY)


def plan_copy_in(
    source: str, target: str, there: PathStat | None, *, is_directory: bool, keep_owner: bool
) -> tuple[str, Iterator[bytes]]:
    """Plan a copy into a container.

    Args:
        source: a local path.
        target: a path in the container.
        there: the properties of ``target``, None if it does not exist.
        is_directory: whether ``source`` is a directory.
        keep_owner: see ``pack``.

    Returns:
        The directory in the container, and the bytes of the archive to unpack in it.

    Raises:
        ClientError: the rules do not allow this source and target.
    """
    contents = is_directory and (source.endswith("/.") or source == ".")
    target = target if target.startswith("/") else f"/{target}"
    if there is not None and _is_directory(there):
        name = "." if contents else _name_of(source)
        return target, pack(Path(source), name, keep_owner=keep_owner)
    if there is not None and is_directory:
        raise ClientError(f"cannot copy a directory to {target}, which is none")
    if target.endswith("/") and not is_directory:
        raise ClientError(f"cannot copy to {target}: there is no such directory")
    directory, name = posixpath.split(posixpath.normpath(target))
    return directory, pack(Path(source), name, keep_owner=keep_owner)


def _name_of(source: str) -> str:
    """Return the last part of a local path, also of ``..`` and the like."""
    name = os.path.basename(source.rstrip("/"))  # noqa: PTH119 - a trailing "." counts
    return name if name not in ("", ".", "..") else Path(source).resolve().name


def plan_copy_out(
    source: str, kind: PathStat, target: str, keep_owner: bool
) -> Callable[[Callable[[], bytes]], int]:
    """Plan a copy out of a container.

    Args:
        source: a path in the container.
        kind: its properties.
        target: a local path.
        keep_owner: see ``unpack``.

    Returns:
        A function that unpacks the archive; its argument returns the archive's chunks.

    Raises:
        ClientError: the rules do not allow this source and target.
    """
    path = Path(target)
    contents = source.endswith("/.") or source in (".", "/")
    old = "" if contents else (posixpath.basename(posixpath.normpath(source)) or kind.name)
    if path.is_dir():
        directory, new = path, old
    elif path.exists() and _is_directory(kind):
        raise ClientError(f"cannot copy a directory to {target}, which is none")
    elif target.endswith("/") and not _is_directory(kind):
        raise ClientError(f"cannot copy to {target}: there is no such directory")
    elif contents:
        path.mkdir()
        directory, new = path, ""
    else:
        directory, new = path.parent, path.name
    if not directory.is_dir():
        raise ClientError(f"cannot copy to {target}: the directory {directory} does not exist")

    def work(pull: Callable[[], bytes]) -> int:
        return unpack(pull, directory, (old, new), keep_owner=keep_owner)

    return work
