"""Unpacking of a tar archive that arrives chunk by chunk, into a directory.

The archive comes from a container, so it is not trusted: nothing is written outside of the
directory, whatever names, links and order the archive has. Directories are opened one after
the other without following links, and links are created but never followed.
"""

import errno
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
        except (tarfile.TarError, EOFError) as error:
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
            parent = self._open(parts[:-1])
            try:
                self._set_metadata(parent, parts[-1], member)
            finally:
                os.close(parent)
        os.close(self._root)

    def create(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, rename: tuple[str, str] | None
    ) -> None:
        """Create the file, directory, link or device of one entry."""
        parts = _parts(member.name, rename)
        if not parts:
            return
        parent = self._open(parts[:-1], make=True)
        name = parts[-1]
        try:
            if member.isdir():
                _make_directory(parent, name)
                self._directories.append((parts, member))
                return
            _remove_existing(parent, name)
            if member.isreg():
                _write(tar, member, parent, name)
            elif member.issym():
                os.symlink(member.linkname, name, dir_fd=parent)
            elif member.islnk():
                self._link(_parts(member.linkname, rename), parent, name)
                return
            elif member.isfifo():
                os.mkfifo(name, dir_fd=parent)
            else:
                kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
                device = os.makedev(member.devmajor, member.devminor)
                os.mknod(name, kind | 0o600, device, dir_fd=parent)
            self._set_metadata(parent, name, member)
        except OSError as error:
            raise ClientError(f"{member.name}: {error.strerror}") from None
        finally:
            os.close(parent)

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
                        f"the archive leads through {part!r}, which is no directory"
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

    def _set_metadata(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        if self._keep_owner:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            # No setuid and setgid bits: the file belongs to the caller, not to its owner inside.
            os.chmod(name, member.mode & (0o7777 if self._keep_owner else 0o777), dir_fd=parent)
        times = (member.mtime, member.mtime)
        os.utime(name, times, dir_fd=parent, follow_symlinks=False)


def _parts(name: str, rename: tuple[str, str] | None) -> list[str]:
    """Return the parts of an entry's path below the directory."""
    if name.startswith("/"):
        raise ClientError(f"the archive has an absolute name: {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
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


def _make_directory(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return


def _remove_existing(parent: int, name: str) -> None:
    """Remove the file that has the name of a new one; a directory raises ``OSError``."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    content = tar.extractfile(member)
    descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        while content is not None and (data := content.read(_CHUNK)):
            file.write(data)
    if os.stat(name, dir_fd=parent, follow_symlinks=False).st_size != member.size:
        raise ProtocolError(f"the archive ends in the middle of {member.name!r}")
