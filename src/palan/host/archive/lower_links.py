"""Hard links of a layer to files that exist only in a lower layer.

In a mounted overlay, making such a link copies the file up, so that the layer contains it under
both names as one file. The same is done here without a mount.
"""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from palan.host.archive.headers import ArchiveError
from palan.host.archive.unpack import open_below


__all__ = ["make_lower_links"]

_OPAQUE: Final = "trusted.overlay.opaque"
_PIECE: Final = 1 << 20


def make_lower_links(target: Path, links: Iterable[tuple[str, str]], lower: Sequence[Path]) -> None:
    """Make the links.

    Args:
        target: the unpacked layer; the parent directories of links and files exist.
        links: the paths of the links and of the files, cleaned, in the order of the archive.
        lower: the unpacked layers below, topmost first.

    Raises:
        ArchiveError: the file is missing in all layers, or is not a regular file or symlink.
        OSError: the file system rejects an operation.
    """
    for path, to in links:
        here, there = _directory(target, path), _directory(target, to)
        try:
            name, source = path.rpartition("/")[2], to.rpartition("/")[2]
            if not _exists(source, there):
                _copy_up(path, to, there, lower)
            try:
                os.link(source, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
            except FileExistsError:
                continue  # a later entry of the layer has replaced it
        finally:
            os.close(here)
            os.close(there)


def _directory(target: Path, path: str) -> int:
    handle = open_below(target, path.rpartition("/")[0], directory=True)
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


def _copy_up(path: str, to: str, directory: int, lower: Sequence[Path]) -> None:
    found = _find(to, lower)
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


def _find(path: str, lower: Sequence[Path]) -> int | None:
    """Open a file as it is visible through the layers: whiteouts and opaque directories hide it."""
    parts = path.split("/")
    for layer in lower:
        covered = False
        for length in range(1, len(parts) + 1):
            handle = open_below(layer, "/".join(parts[:length]))
            if handle is None:
                break
            mode, device = os.fstat(handle).st_mode, os.fstat(handle).st_rdev
            if length == len(parts) and not (stat.S_ISCHR(mode) and not device):
                return handle
            covered = covered or not stat.S_ISDIR(mode) or _is_opaque(handle)
            os.close(handle)
        if covered:
            return None
    return None


def _is_opaque(handle: int) -> bool:
    try:
        return os.getxattr(f"/proc/self/fd/{handle}", _OPAQUE) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise
