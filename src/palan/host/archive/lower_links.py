"""Hard links of a layer to files that exist only in a lower layer.

In a mounted overlay, making such a link copies the file up, so that the layer contains it under
both names as one file. The same is done here without a mount.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from palan.host.archive.headers import ArchiveError
from palan.host.archive.lower import Walk, visible
from palan.host.archive.unpack import open_below


__all__ = ["make_lower_links"]

_PIECE: Final = 1 << 20


def make_lower_links(
    target: Path,
    links: Sequence[tuple[str, str]],
    lower: Sequence[Path],
    check: Callable[[], object] = lambda: None,
) -> None:
    """Make the links.

    Args:
        target: the unpacked layer; the parent directories of links and files exist.
        links: the paths of the links and of the files, cleaned, in the order of the archive.
        lower: the unpacked layers below, topmost first.
        check: called often; may raise to stop.

    Raises:
        ArchiveError: the file is missing in all layers, or is not a regular file or symlink.
        OSError: the file system rejects an operation.
    """
    found = visible((to for _, to in links), lower, check)
    with Walk(target) as links_walk, Walk(target) as files_walk:
        for path, to in links:
            check()
            here, there = _directory(links_walk, path), _directory(files_walk, to)
            name, source = path.rpartition("/")[2], to.rpartition("/")[2]
            if not _exists(source, there):
                _copy_up(path, to, there, found.get(to))
            try:
                os.link(source, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
            except FileExistsError:
                continue  # a later entry of the layer has replaced it


def _directory(walk: Walk, path: str) -> int:
    handle = walk.directory(path.rpartition("/")[0])
    if handle is None:
        raise ArchiveError(f"the directory of {path!r} was replaced")
    return handle


def _exists(name: str, directory: int) -> bool:
    try:
        info = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(info.st_mode):
        raise ArchiveError(f"hard link to a directory {name!r}")
    return True


def _copy_up(path: str, to: str, directory: int, layer: Path | None) -> None:
    found = open_below(layer, to) if layer is not None else None
    if found is None:
        raise ArchiveError(f"hard link {path!r} to {to!r}, which does not exist")
    try:
        info = os.fstat(found)
        name = to.rpartition("/")[2]
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink("", dir_fd=found), name, dir_fd=directory)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=directory, follow_symlinks=False)
            times = info.st_mtime_ns, info.st_mtime_ns
            os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)
        elif stat.S_ISREG(info.st_mode):
            _copy_file(found, info, name, directory)
        else:
            raise ArchiveError(f"hard link {path!r} to {to!r}, which is not a regular file")
    finally:
        os.close(found)


def _copy_file(found: int, info: os.stat_result, name: str, directory: int) -> None:
    place = f"/proc/self/fd/{found}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    reader = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writer = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            while os.sendfile(writer, reader, None, _PIECE):
                pass
            os.fchown(writer, info.st_uid, info.st_gid)
            os.fchmod(writer, stat.S_IMODE(info.st_mode))
            for attribute in os.listxattr(reader):
                if not attribute.startswith("trusted.overlay."):
                    os.setxattr(writer, attribute, os.getxattr(reader, attribute))
            os.utime(writer, ns=(info.st_mtime_ns, info.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)
