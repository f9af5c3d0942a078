"""What goes where when files are copied, by the rules of ``docker cp``; archives are streams.

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


__all__ = ["incoming", "is_link", "outgoing"]

_GO_DIRECTORY: Final = 1 << 31
_GO_LINK: Final = 1 << 27


def is_link(kind: PathStat) -> bool:
    """Whether it is a symbolic link; some engines give everything a target."""
    return bool(kind.mode & _GO_LINK)


def _is_directory(kind: PathStat) -> bool:
    return bool(kind.mode & _GO_DIRECTORY)


def incoming(
    source: str, target: str, there: PathStat | None, *, is_directory: bool, keep_owner: bool
) -> tuple[str, Iterator[bytes]]:
    """What to put where for a copy into a container.

    Args:
        source: a path here.
        target: a path there.
        there: what is at ``target``, None for nothing.
        is_directory: whether ``source`` is one.
        keep_owner: see ``pack``.

    Returns:
        The directory there, and the archive to unpack in it.

    Raises:
        ClientError: it cannot be done.
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
    """The last part of a path here, also of ``..`` and the like."""
    name = os.path.basename(source.rstrip("/"))  # noqa: PTH119 - a trailing "." counts
    return name if name not in ("", ".", "..") else Path(source).resolve().name


def outgoing(
    source: str, kind: PathStat, target: str, keep_owner: bool
) -> Callable[[Callable[[], bytes]], int]:
    """What to do with the archive for a copy out of a container.

    Args:
        source: a path there.
        kind: what is there.
        target: a path here.
        keep_owner: see ``unpack``.

    Returns:
        Takes what gives the archive's pieces.

    Raises:
        ClientError: it cannot be done.
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
        raise ClientError(f"cannot copy to {target}: there is no directory {directory}")

    def work(pull: Callable[[], bytes]) -> int:
        return unpack(pull, directory, (old, new), keep_owner=keep_owner)

    return work
