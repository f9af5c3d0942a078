"""Making the working directory of a new container, so that files can be copied into it.

Images mostly have theirs, which is remembered: it costs a mount to find out.
"""

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.containers.context import ContainerContext
from palan.host.mounts import unmount
from palan.host.overlay import mount_overlay, plain_options
from palan.host.rootfs import follow_links
from palan.host.treecopy import make_directories


__all__ = ["make_working_directory"]

_CALLERS: Final = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)


async def make_working_directory(
    context: ContainerContext, image: str, path: str, layers: Sequence[Path], directory: Path
) -> None:
    """Make the working directory in the own files of a container, if its image lacks it.

    Args:
        context: the context of the room.
        image: the id of the image.
        path: the absolute path of the working directory; empty for none.
        layers: the layers below the container's own, the topmost first.
        directory: the directory of the container, with ``diff`` and ``work``.

    Raises:
        InvalidParameter: something else is in its place, or the path is impossible.
    """
    if path in ("", "/") or (image, path) in context.present_directories:
        return
    place = context.paths.merged / f"create-{secrets.token_hex(8)}"
    if await asyncio.to_thread(_make, path, layers, directory, place):
        context.present_directories.add((image, path))


def _make(path: str, layers: Sequence[Path], directory: Path, place: Path) -> bool:
    """Make the directory; return True if it was there."""
    place.mkdir(mode=0o700)
    try:
        try:
            mount_overlay(
                layers, directory / "diff", directory / "work", place, options=plain_options()
            )
        except FileNotFoundError:
            return False  # a layer is missing, which the start reports
        try:
            return _make_below(place, path)
        finally:
            unmount(place, lazy=True)
    finally:
        place.rmdir()


def _make_below(place: Path, path: str) -> bool:
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _find_or_make(root, path)
    except NotADirectoryError:
        raise InvalidParameter(f"Cannot mkdir: {path} is not a directory") from None
    except OSError as error:
        if error.errno in _CALLERS:
            raise InvalidParameter(f"mkdir {path}: {error.strerror}") from None
        raise
    finally:
        os.close(root)


def _find_or_make(root: int, path: str) -> bool:
    real = follow_links(root, path).lstrip("/")
    try:
        info = os.stat(real or ".", dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        make_directories(root, real)
        return False
    if stat.S_ISDIR(info.st_mode):
        return True
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
