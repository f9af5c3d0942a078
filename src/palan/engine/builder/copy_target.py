"""Copying files to their destination in an image.  Blocking."""

import os
import posixpath
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.builder.selection import Picked
from palan.host.archive.headers import BLOCK, ArchiveError, decode_header
from palan.host.archive.inflate import detect, inflated
from palan.host.archive.unpack import Abort, Options, unpack
from palan.host.archive.zstd import start_zstd
from palan.host.rootfs import follow_links, lookup, read_text
from palan.host.treecopy import TreeCopy, make_directories


__all__ = ["CopyTarget", "find_owner"]

_PIECE: Final = 64 << 10
_MAGIC: Final = 6


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """The destination of one ``COPY`` or ``ADD``.

    Attributes:
        destination: the absolute path; with a trailing slash it is a directory.
        chown: the owner of the copies, as in the instruction; empty if it names none.
        keep_owners: copies keep their owners if ``chown`` is empty.
        unpack: archives are unpacked.
        abort: ends the unpacking.
    """

    destination: str
    chown: str = ""
    keep_owners: bool = False
    unpack: bool = False
    abort: Abort = field(default_factory=Abort, compare=False)

    def run(self, image: Path, sources: Sequence[tuple[Path, Picked]]) -> None:
        """Copy files.

        Args:
            image: the mount point of the image's file system.
            sources: the files to copy, each with the root of its tree.

        Raises:
            InvalidParameter: the owner does not exist.
            ArchiveError: an archive is damaged.
            OSError: a file can't be read or written.
        """
        owner = None if self.keep_owners else (0, 0)
        if self.chown:
            owner = find_owner(
                self.chown, read_text(image, "/etc/passwd"), read_text(image, "/etc/group")
            )
        target = os.open(image, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for tree, picked in sources:
                source = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    self._copy(TreeCopy(source, target, owner), source, target, image, picked)
                finally:
                    os.close(source)
        finally:
            os.close(target)

    def _copy(self, copy: TreeCopy, source: int, target: int, image: Path, picked: Picked) -> None:
        real = follow_links(source, picked.path).lstrip("/")
        place = follow_links(target, self.destination).lstrip("/")
        if stat.S_ISDIR(os.stat(real or ".", dir_fd=source).st_mode):
            self._directory(copy, real, target, place)
            return
        if self.unpack and not picked.fetched and _is_archive(source, real):
            make_directories(target, place)
            _unpack(source, real, image, place, self.abort)
            return
        if self.destination.endswith("/") or _is_directory(target, place):
            place = posixpath.join(place, posixpath.basename(picked.path))
        make_directories(target, posixpath.dirname(place), copy.owner or (0, 0))
        copy.copy_file(real, place)

    def _directory(self, copy: TreeCopy, real: str, target: int, place: str) -> None:
        """Copy the entries of a directory; the directory itself gets default metadata."""
        there = _is_directory(target, place)
        make_directories(target, place)
        if not there and copy.owner is not None:
            os.chown(place, *copy.owner, dir_fd=target)
        copy.copy_contents(real, place)


def _is_directory(root: int, path: str) -> bool:
    try:
        found = lookup(root, path or ".", follow=True)
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(found).st_mode)
    finally:
        os.close(found)


# ---- archives ---------------------------------------------------------------------


def _is_archive(root: int, path: str) -> bool:
    """Whether a file is a tar archive, compressed or not, with at least one entry."""
    # Opening some devices has effects.
    if not stat.S_ISREG(os.stat(path, dir_fd=root).st_mode):
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
    try:
        compression = detect(os.read(handle, _MAGIC))
        os.lseek(handle, 0, os.SEEK_SET)
        if compression == "zstd":
            process = start_zstd(handle, subprocess.DEVNULL)
            assert process.stdout  # noqa: S101 - for the type checker
            try:
                return _begins_as_tar(process.stdout.read(BLOCK))
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
        source = inflated(lambda: os.read(handle, _PIECE), compression)
        head = b""
        while len(head) < BLOCK and (piece := source()):
            head += piece
        return _begins_as_tar(head[:BLOCK])
    except (ArchiveError, EOFError, ValueError):
        return False
    finally:
        os.close(handle)


def _begins_as_tar(head: bytes) -> bool:
    if len(head) < BLOCK or not any(head):
        return False
    try:
        decode_header(head)
    except ArchiveError:
        return False
    return True


def _unpack(root: int, path: str, image: Path, place: str, abort: Abort) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
    try:
        compression = detect(os.read(handle, _MAGIC))
        os.lseek(handle, 0, os.SEEK_SET)
        options = Options(inside=f"/{place}", digest=False, keep_root=True)
        unpack(handle, image, compression, options, abort=abort)
    finally:
        os.close(handle)


# ---- owners -----------------------------------------------------------------------


def find_owner(text: str, passwd: str, group: str) -> tuple[int, int]:
    """Return user and group id of ``user[:group]`` in an image.

    Without a group, the name or number is looked up among the groups, too.

    Raises:
        InvalidParameter: the user or group does not exist; in dockerd's words.
    """
    parts = text.split(":")
    problem = "unable to convert uid/gid chown string to host mapping: "
    if len(parts) > 2:
        raise InvalidParameter(f"{problem}invalid chown string format: {text}")
    user, name = parts[0], parts[-1]
    uid, gid = _id_of(user, passwd), _id_of(name, group)
    if uid is None:
        raise InvalidParameter(f"{problem}can't find uid for user {user}: no such user: {user}")
    if gid is None:
        raise InvalidParameter(f"{problem}can't find gid for group {name}: no such group: {name}")
    return uid, gid


def _id_of(name: str, entries: str) -> int | None:
    if name.isascii() and name.isdecimal():
        return int(name[:10])
    for line in entries.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():
            return int(fields[2])
    return None
