"""Unpacking of a tar archive that arrives chunk by chunk, into a directory.

The archive comes from a container, so it is not trusted: nothing outside of the directory is
written or changed, whatever names, links and order the archive has. Directories are opened
one after the other without following links; modes and times are set through descriptors; links
are created but never followed. Device nodes are not created.
"""

import contextlib
import errno
import math
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from palan.client.errors import ClientError, ProtocolError


__all__ = ["unpack"]

_CHUNK: Final = 1 << 18
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LATEST: Final = float(1 << 33)
"""Seconds since the epoch, in the year 2242; later times are not those of any file."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Source:
    """A file object for ``tarfile``, made of the chunks that a function returns."""

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or fewer at the end."""
        parts = [self._buffer]
        have = len(self._buffer)
        while have < size:
            data = self._pull()
            if not data:
                break
            parts.append(data)
            have += len(data)
        whole = b"".join(parts) if len(parts) > 1 else parts[0]
        self._buffer = whole[size:]
        return whole[:size]

    def drain(self) -> None:
        """Read to the end of the body, so that the connection can be used again."""
        while self._pull():
            pass


def unpack(
    pull: Callable[[], bytes],
    directory: Path,
    rename: tuple[str, str] | None = None,
    *,
    keep_owner: bool = False,
) -> int:
    """Unpack an archive.

    Args:
        pull: returns the next chunk of the archive, ``b""`` at the end.
        directory: an existing directory to unpack into.
        rename: the first part of the names in the archive, and its replacement.
        keep_owner: give files the owners that the archive names; this needs root.

    Returns:
        The number of files unpacked.

    Raises:
        ProtocolError: the data is not a tar archive, or is truncated.
        ClientError: an entry would be written outside of the directory, or cannot be written.
    """
    source = _Source(pull)
    count = 0
    with _Tree(directory, keep_owner=keep_owner) as tree:
        try:
            with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK) as tar:  # type: ignore[call-overload]  # reading is all it does
                for member in tar:
                    tree.create(tar, member, rename)
                    count += 1
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise ProtocolError(f"the archive cannot be read: {error}") from None
    source.drain()
    return count


class _Tree:
    """The directory that an archive is unpacked into."""

    def __init__(self, directory: Path, *, keep_owner: bool) -> None:
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._keep_owner = keep_owner
        self._directories: list[tuple[list[str], tarfile.TarInfo]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Set the times of directories last: writing into a directory changes them.
        for parts, member in reversed(self._directories):
            # A later entry may have replaced the directory.
            with contextlib.suppress(OSError, ClientError):
                descriptor = self._open(parts)
                try:
                    self._set_metadata(descriptor, member)
                finally:
                    os.close(descriptor)
        os.close(self._root)

    def create(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, rename: tuple[str, str] | None
    ) -> None:
        """Create the file, directory, link or FIFO of one entry."""
        parts = _parts(member.name, rename)
        if not parts:
            return
        try:
            parent = self._open(parts[:-1], make=True)
            try:
                self._create(tar, member, rename, parts, parent)
            finally:
                os.close(parent)
        except OSError as error:
            raise ClientError(f"{member.name}: {error.strerror}") from None

    def _create(
        self,
        tar: tarfile.TarFile,
        member: tarfile.TarInfo,
        rename: tuple[str, str] | None,
        parts: list[str],
        parent: int,
    ) -> None:
        name = parts[-1]
        if member.isdir():
            _make_directory(parent, name, replace=True)
            self._directories.append((parts, member))
            return
        if member.ischr() or member.isblk():
            raise ClientError(f"{member.name}: device nodes are not created")
        _remove_existing(parent, name)
        if member.isreg():
            self._write(tar, member, parent, name)
        elif member.issym():
            os.symlink(_checked(member.linkname), name, dir_fd=parent)
            if self._keep_owner:
                os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
            os.utime(name, _times(member), dir_fd=parent, follow_symlinks=False)
        elif member.islnk():
            self._link(_parts(member.linkname, rename), parent, name)
        elif member.isfifo():
            os.mkfifo(name, member.mode & 0o777, dir_fd=parent)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        content = tar.extractfile(member)
        descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "wb") as file:
            while content is not None and (data := content.read(_CHUNK)):
                file.write(data)
            file.flush()
            if os.fstat(descriptor).st_size != member.size:
                raise ProtocolError(f"the archive ends in the middle of {member.name!r}")
            self._set_metadata(descriptor, member)

    def _open(self, parts: list[str], *, make: bool = False) -> int:
        """Open a directory below the root without following links; return its descriptor."""
        current = os.dup(self._root)
        for part in parts:
            try:
                if make:
                    _make_directory(current, part)
                following = os.open(part, _DIRECTORY, dir_fd=current)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise ClientError(
                        f"the archive leads through {part!r}, which is not a directory"
                    ) from None
                raise
            finally:
                os.close(current)
            current = following
        return current

    def _link(self, target: list[str], parent: int, name: str) -> None:
        if not target:
            raise ClientError("the archive has a link to nothing")
        there = self._open(target[:-1])
        try:
            os.link(target[-1], name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(there)

    def _set_metadata(self, descriptor: int, member: tarfile.TarInfo) -> None:
        if self._keep_owner:
            os.fchown(descriptor, member.uid, member.gid)
        # No setuid and setgid bits: the file belongs to the caller, not to its owner inside.
        os.fchmod(descriptor, member.mode & (0o7777 if self._keep_owner else 0o777))
        os.utime(descriptor, _times(member))


def _times(member: tarfile.TarInfo) -> tuple[float, float]:
    """Return the times for a file; the epoch in place of an impossible time, as Docker does."""
    time = member.mtime
    if not (math.isfinite(time) and 0 <= time < _LATEST):
        time = 0.0
    return time, time


def _parts(name: str, rename: tuple[str, str] | None) -> list[str]:
    """Return the parts of an entry's path below the directory."""
    if name.startswith("/"):
        raise ClientError(f"the archive has an absolute name: {name!r}")
    parts = [part for part in _checked(name).split("/") if part not in ("", ".")]
    if rename is not None:
        old, new = rename
        if old:
            if parts[:1] != [old]:
                raise ProtocolError(f"the archive has {name!r}, which was not asked for")
            parts = parts[1:]
        parts = ([new] if new else []) + parts
    if ".." in parts:
        raise ClientError(f"the archive leads elsewhere: {name!r}")
    return parts


def _checked(name: str) -> str:
    if "\0" in name:
        raise ClientError(f"the archive has an impossible name: {name!r}")
    return name


def _make_directory(parent: int, name: str, *, replace: bool = False) -> None:
    """Create a directory unless it exists; ``replace`` first removes a file of that name."""
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        present = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if replace and not stat.S_ISDIR(present.st_mode):
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)


def _remove_existing(parent: int, name: str) -> None:
    """Remove the file that has the name of a new one; a directory raises ``OSError``."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
