"""Copying of an overlay's upper directory into an archive and a directory at the same time.

Each file is read once and written to both, so that their content is the same.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Any, Final

from palan.host.archive.extract import Extractor
from palan.host.archive.headers import BLOCK, encode_header
from palan.host.archive.tree import END, Packer


__all__ = ["copy_layer_to"]

_PIECE: Final = 256 << 10


def copy_layer_to(upper: str, archive: int, directory: str) -> dict[str, Any]:
    """Copy an upper directory into an archive and a directory.

    Args:
        upper: the upper directory.
        archive: a descriptor to write the archive to.
        directory: an empty directory, filled with the content of the layer.

    Returns:
        The fields of :class:`~palan.host.archive.unpack.Unpacked`, and the ``length`` of
        the archive; the digest is the archive's.

    Raises:
        OSError: reading or writing failed.
    """
    packer = Packer(upper, whiteouts=True)
    extractor = Extractor(directory, whiteouts="overlay")
    output = _Hashed(archive)
    for entry, content in packer.entries():
        output.write(encode_header(entry))
        extractor.entries += 1
        extractor.add(entry, output.passing(content))
        output.write(bytes(-entry.stored % BLOCK))
    output.write(END)
    output.flush()
    extractor.finish()
    return {
        "digest": "sha256:" + output.digest.hexdigest(),
        "length": output.length,
        "implicit": extractor.implicit(),
        "lower_links": extractor.lower_links,
        "entries": extractor.entries,
        "size": extractor.size,
    }


class _Hashed:
    """A file that is written in large pieces, with the digest of its content."""

    def __init__(self, file: int) -> None:
        self.digest = hashlib.sha256()
        self.length = 0
        self._file = file
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= _PIECE:
            self.flush()

    def passing(self, content: Iterator[bytes]) -> Iterator[memoryview]:
        for piece in content:
            self.write(piece)
            yield memoryview(piece)

    def flush(self) -> None:
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self.digest.update(data)
        self.length += len(data)
        self._held.clear()
        self._size = 0
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
