"""The build context: the files that a build may copy, in a temporary directory.

Paths are looked up as if the context were the root directory, so that neither ``..`` nor a
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
from palan.host.archive.unpack import Abort, Options, unpack_pieces
from palan.host.rootfs import lookup


__all__ = ["BuildContext", "outside_context", "parse_dockerfile", "receive"]

_MAX_DOCKERFILE: Final = 16 << 20
_MAGIC: Final = 6
"""Bytes by which the compression of an archive is recognised."""

_IGNORE: Final = ".dockerignore"


class BuildContext:
    """A directory with the files to copy and the Dockerfile.

    Attributes:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sums: Checksums | None = None

    def sums(self, root: int) -> Checksums:
        """Return the checksums of its files, which are computed once.

        Args:
            root: a descriptor of the root.
        """
        if self._sums is None:
            self._sums = Checksums(root)
        self._sums.root = root
        return self._sums

    def read_dockerfile(self, name: str) -> Dockerfile:
        """Read the Dockerfile.  Blocking.

        It and ``.dockerignore`` are removed from the context if the latter excludes them.

        Args:
            name: the Dockerfile's path in the context.

        Raises:
            InvalidParameter: it does not exist, or is malformed.
        """
        with self.opened() as root:
            data = _read(root, name)
            if data is None and name == DEFAULT_DOCKERFILE:
                data = _read(root, name.lower())
                name = name if data is None else name.lower()
            if data is None:
                raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}")
            dockerfile = parse_dockerfile(data, name)
            ignored = _read(root, _IGNORE)
        if ignored is not None:
            self._remove_own_files(ignored, name)
        return dockerfile

    def _remove_own_files(self, ignored: bytes, dockerfile: str) -> None:
        """Remove Dockerfile and ``.dockerignore`` if excluded: clients send them in any case."""
        try:
            ignore = Ignore.parse(ignored.decode("utf-8", "replace"))
        except ValueError:
            return  # malformed patterns exclude nothing
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
        """Open a descriptor of the root."""
        root = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)


def parse_dockerfile(data: bytes, name: str) -> Dockerfile:
    """Parse a Dockerfile.

    Raises:
        InvalidParameter: it is malformed; in dockerd's words.
    """
    if not data:
        raise InvalidParameter(f"the Dockerfile ({name}) cannot be empty")
    try:
        return read(data)
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None


def outside_context(path: str) -> InvalidParameter:
    """Return the error about a path that leads out of the context."""
    return InvalidParameter(f"forbidden path outside the build context: {path} ()")


def _read(root: int, path: str) -> bytes | None:
    """Return a file of the context; None if it does not exist."""
    if posixpath.normpath(path.lstrip("/")).split("/")[0] == "..":
        raise outside_context(path)
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


def receive(source: Incoming, root: Path, abort: Abort) -> None:
    """Unpack an archive, compressed or not, into a new directory ``root``.  Blocking.

    Args:
        source: the archive.
        root: the directory.
        abort: ends the work.

    Raises:
        InvalidParameter: it is damaged, or not an archive.
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
        options = Options(digest=False, keep_root=True)
        unpack_pieces(pieces(), root, detect(head), options, abort=abort)
    except ArchiveError as error:
        raise InvalidParameter(str(error)) from None
    except ConnectionError:
        raise
    except OSError as error:
        raise InternalError(
            f"failed to unpack the build context: {error.strerror or error}"
        ) from None
