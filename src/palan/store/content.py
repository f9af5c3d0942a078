"""Blobs: immutable files named by the digest of their content.

A blob is written elsewhere on the same file system and renamed to its digest once it is
complete and verified, so a file with a digest as its name is always complete. References are
not counted here: the image catalog deletes blobs that no row refers to.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError


__all__ = ["Content", "DamagedContent"]

_HEX: Final = re.compile(r"[0-9a-f]{64}")


class DamagedContent(InternalError):
    """The content of a blob does not match its digest any more."""


class Content:
    """A directory of blobs, ``<root>/sha256/<hex>``."""

    def __init__(self, root: Path) -> None:
        """Open the directory; create it if it is missing."""
        self._directory = root / "sha256"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._damaged: set[str] = set()

    def path(self, digest: str) -> Path:
        """Return the path of a blob, whether it exists or not.

        Raises:
            ValueError: not a sha256 digest.
        """
        algorithm, _, encoded = digest.partition(":")
        if algorithm != "sha256" or not _HEX.fullmatch(encoded):
            raise ValueError(f"not a sha256 digest: {digest!r}")
        return self._directory / encoded

    def has(self, digest: str) -> bool:
        """Whether the blob exists and has not been found damaged."""
        return digest not in self._damaged and self.path(digest).exists()

    def has_complete(self, digest: str, size: int) -> bool:
        """Whether the blob exists with this size, without reading it."""
        try:
            return digest not in self._damaged and self.size(digest) == size
        except FileNotFoundError:
            return False

    def mark_damaged(self, digest: str) -> DamagedContent:
        """Record that the blob is damaged, and return the error to raise.

        The blob counts as absent until it is written again.
        """
        self._damaged.add(digest)
        return DamagedContent(f"content digest {digest}: its content is damaged")

    def size(self, digest: str) -> int:
        """Return the size of a blob in bytes.

        Raises:
            FileNotFoundError: no such blob.
        """
        return self.path(digest).stat().st_size

    def read(self, digest: str) -> bytes:
        """Return the content of a small blob.

        Raises:
            FileNotFoundError: no such blob.
            DamagedContent: its content does not match the digest.
        """
        data = self.path(digest).read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise self.mark_damaged(digest)
        return data

    def adopt(self, file: Path, digest: str) -> None:
        """Rename a complete file to the blob ``digest``.

        The caller has verified the digest.
        """
        # Replace an existing blob as well: it may have been damaged on the disk.
        file.chmod(0o600)
        file.rename(self.path(digest))
        self._damaged.discard(digest)

    def put(self, data: bytes) -> str:
        """Write a small blob and return its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with contextlib.suppress(FileNotFoundError, DamagedContent):
            self.read(digest)
            return digest
        handle, name = tempfile.mkstemp(dir=self._directory, prefix=".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).rename(self.path(digest))
        self._damaged.discard(digest)
        return digest

    def delete(self, digest: str) -> None:
        """Delete the blob if it exists."""
        self.path(digest).unlink(missing_ok=True)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Iterate over all blobs and their sizes; delete files that a crash left incomplete."""
        with os.scandir(self._directory) as files:
            for file in files:
                if _HEX.fullmatch(file.name):
                    yield f"sha256:{file.name}", file.stat(follow_symlinks=False).st_size
                else:
                    with contextlib.suppress(OSError):
                        Path(file.path).unlink()
