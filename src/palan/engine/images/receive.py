"""Splitting an image archive while it arrives: every member becomes a file with its digest.

The role of a member is known only at the end (``manifest.json`` of an old archive is its
last member), so layers are not unpacked here.  Blocking: runs in a thread.
"""

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.images.formats import MAX_DOCUMENT
from palan.host.archive.extract import clean
from palan.host.archive.headers import Kind
from palan.host.archive.inflate import detect, inflated
from palan.host.archive.reader import Source, TarReader
from palan.host.archive.space import SpaceWatch
from palan.host.archive.zstd import unzstd


__all__ = ["Member", "Members", "receive"]

_MAX_MEMBERS: Final = 100_000
_MAX_LINKS: Final = 16


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive.

    Attributes:
        file: the file with its bytes.
        digest: the digest, ``sha256:`` and 64 hex digits.
        size: the number of bytes.
    """

    file: Path
    digest: str
    size: int


class Members:
    """The files of an archive, by path."""

    def __init__(self, files: Mapping[str, Member], links: Mapping[str, str]) -> None:
        self._files = files
        self._links = links

    def __contains__(self, path: str) -> bool:
        return self.find(path) is not None

    def blobs(self) -> dict[str, Member]:
        """Return the files below ``blobs/sha256``, by the digests of their names."""
        prefix = "blobs/sha256/"
        return {
            f"sha256:{path[len(prefix) :]}": member
            for path, member in self._files.items()
            if path.startswith(prefix)
        }

    def find(self, path: str) -> Member | None:
        """Return a file, following links; None if it does not exist."""
        path = clean(path)
        for _ in range(_MAX_LINKS):
            if path in self._files:
                return self._files[path]
            if path not in self._links:
                return None
            path = self._links[path]
        return None

    def get(self, path: str) -> Member:
        """Return a file, following links.

        Raises:
            InvalidParameter: it does not exist.
        """
        member = self.find(path)
        if member is None:
            raise InvalidParameter(f"invalid archive: {path} is missing")
        return member

    def read(self, path: str) -> bytes:
        """Return the content of a small file.

        Raises:
            InvalidParameter: it does not exist or is large.
        """
        member = self.get(path)
        if member.size > MAX_DOCUMENT:
            raise InvalidParameter(f"invalid archive: {path} is larger than {MAX_DOCUMENT} bytes")
        return member.file.read_bytes()


def receive(source: Source, directory: Path) -> Members:
    """Read a whole archive, compressed or not, into files in ``directory``.

    Raises:
        ArchiveError: the archive is damaged.
        InvalidParameter: it has too many members.
        OSError: the file system refuses.
    """
    # The first piece may be shorter than a magic number.
    head = b""
    while len(head) < 6 and (piece := source()):
        head += piece
    pending = [head]

    def whole() -> bytes:
        return pending.pop() if pending else source()

    compression = detect(head)
    if compression == "zstd":
        with unzstd(whole) as plain:
            return _receive(plain, directory)
    return _receive(inflated(whole, compression), directory)


def _receive(source: Source, directory: Path) -> Members:
    files: dict[str, Member] = {}
    links: dict[str, str] = {}
    reader = TarReader(source)
    space = SpaceWatch(str(directory))
    for number, entry in enumerate(reader):
        if number >= _MAX_MEMBERS:
            raise InvalidParameter(f"invalid archive: more than {_MAX_MEMBERS} members")
        path = clean(entry.name)
        space.check(entry.stored)
        if entry.kind == Kind.FILE and entry.sparse is None:
            files[path] = _keep(reader, directory / str(number))
        elif entry.kind == Kind.SYMLINK:
            links[path] = clean(posixpath.join(posixpath.dirname(path), entry.linkname))
        elif entry.kind == Kind.HARDLINK:
            links[path] = clean(entry.linkname)
    reader.drain()
    return Members(files, links)


def _keep(reader: TarReader, file: Path) -> Member:
    digest = hashlib.sha256()
    size = 0
    with file.open("wb", buffering=0) as output:
        for piece in reader.content():
            digest.update(piece)
            size += len(piece)
            rest = piece
            while rest:
                rest = rest[output.write(rest) :]
    return Member(file, f"sha256:{digest.hexdigest()}", size)
