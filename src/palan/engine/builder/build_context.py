"""The files that a build may copy: unpacked where nobody else is, and never left.

Names are looked up as if the context were the root directory, so that neither ``..`` nor a
link leads out of it.
"""

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError, InvalidParameter
from palan.dockerfile import Dockerfile, DockerfileError, Ignore, read
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.options import DEFAULT_DOCKERFILE
from palan.engine.threads import Incoming
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import detect
from palan.host.archive.unpack import Options, unpack_pieces
from palan.host.rootfs import lookup


__all__ = ["BuildContext", "outside", "receive"]

_MAX_DOCKERFILE: Final = 16 << 20
_MAGIC: Final = 6
"""Bytes that tell what an archive is compressed with."""

_IGNORE: Final = ".dockerignore"


class BuildContext:
    """A directory with what there is to copy, and the Dockerfile in it.

    Attributes:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sums: Checksums | None = None

    def sums(self, root: int) -> Checksums:
        """The checksums of its files, which are computed but once.

        Args:
            root: a descriptor of the root.
        """
        if self._sums is None:
            self._sums = Checksums(root)
        self._sums.root = root
        return self._sums

    def take_dockerfile(self, name: str) -> Dockerfile:
        """Read the Dockerfile, and take out of the context what is not to be copied.  Blocking.

        Args:
            name: where it is in the context.

        Raises:
            InvalidParameter: it is not there, or is none.
        """
        with self.opened() as root:
            data = _read(root, name)
            if data is None and name == DEFAULT_DOCKERFILE:
                data = _read(root, name.lower())
                name = name if data is None else name.lower()
            if data is None:
                raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}")
            dockerfile = parsed(data, name)
            ignored = _read(root, _IGNORE)
        if ignored is not None:
            self._drop(ignored, name)
        return dockerfile

    def _drop(self, ignored: bytes, dockerfile: str) -> None:
        """Remove the two files themselves, if the one says so: a client had to send them."""
        try:
            ignore = Ignore.parse(ignored.decode("utf-8", "replace"))
        except ValueError:
            return  # patterns that are none leave nothing out
        for name in (_IGNORE, dockerfile):
            path = posixpath.normpath(name).lstrip("/")
            if ignore.matches(path):
                self._remove(path)

    def _remove(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        with self.opened() as root, contextlib.suppress(OSError):
            parent = lookup(root, directory or ".", follow=True)
            try:
                os.unlink(name, dir_fd=parent)
            finally:
                os.close(parent)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the root."""
        root = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)


def parsed(data: bytes, name: str) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        InvalidParameter: it is none, in dockerd's words.
    """
    if not data:
        raise InvalidParameter(f"the Dockerfile ({name}) cannot be empty")
    try:
        return read(data)
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None


def outside(path: str) -> InvalidParameter:
    """A path leads out of the context."""
    return InvalidParameter(f"forbidden path outside the build context: {path} ()")


def _read(root: int, path: str) -> bytes | None:
    """A file of the context; None if it is not there."""
    if posixpath.normpath(path.lstrip("/")).split("/")[0] == "..":
        raise outside(path)
    try:
        found = lookup(root, path, follow=True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise InvalidParameter(f"open {path}: {str(error.strerror).lower()}") from None
    try:
        info = os.fstat(found)
        if not stat.S_ISREG(info.st_mode):
            raise InvalidParameter(f"read {path}: is not a regular file")
        if info.st_size > _MAX_DOCKERFILE:
            raise InvalidParameter(f"{path} is larger than {_MAX_DOCKERFILE} bytes")
        with open(f"/proc/self/fd/{found}", "rb") as file:  # noqa: PTH123 - reopens a descriptor
            return file.read()
    finally:
        os.close(found)


def receive(source: Incoming, root: Path) -> None:
    """Unpack an archive, compressed or not, into a new directory ``root``.  Blocking.

    Raises:
        InvalidParameter: it is damaged, or none.
        InternalError: the file system refuses.
    """
    root.mkdir(mode=0o755)
    head = b""
    while len(head) < _MAGIC and (piece := source()):
        head += piece
    if not head:
        return

    def pieces() -> Iterator[bytes]:
        yield head
        while piece := source():
            yield piece

    try:
        unpack_pieces(pieces(), root, detect(head), Options(digest=False, keep_root=True))
    except ArchiveError as error:
        raise InvalidParameter(str(error)) from None
    except ConnectionError:
        raise
    except OSError as error:
        raise InternalError(
            f"failed to unpack the build context: {error.strerror or error}"
        ) from None
