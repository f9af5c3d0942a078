"""Blobs: immutable files named by the digest of what is in them.

A blob is written elsewhere on the same file system and renamed to its name once it
is complete and its digest is known, so that what has a name is whole.  Which blobs are
wanted is not known here: whoever refers to them deletes what nobody refers to.
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
    """A blob does not have its digest any more."""


class Content:
    """A directory of blobs, ``<root>/sha256/<hex>``."""

    def __init__(self, root: Path) -> None:
        """Open the directory, making it where it is missing."""
        self._directory = root / "sha256"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._damaged: set[str] = set()

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            ValueError: it is no sha256 digest.
        """
        algorithm, _, encoded = digest.partition(":")
        if algorithm != "sha256" or not _HEX.fullmatch(encoded):
            raise ValueError(f"not a sha256 digest: {digest!r}")
        return self._directory / encoded

    def has(self, digest: str) -> bool:
        """Whether the blob is here, and not known to be damaged."""
        return digest not in self._damaged and self.path(digest).exists()

    def holds(self, digest: str, size: int) -> bool:
        """Whether the blob is here as far as can be seen without reading it."""
        try:
            return digest not in self._damaged and self.size(digest) == size
        except FileNotFoundError:
            return False

    def damaged(self, digest: str) -> DamagedContent:
        """Somebody read the blob and found it damaged: it is none until it comes again."""
        self._damaged.add(digest)
        return DamagedContent(f"content digest {digest}: its content is damaged")

    def size(self, digest: str) -> int:
        """Its length in bytes.

        Raises:
            FileNotFoundError: it is not here.
        """
        return self.path(digest).stat().st_size

    def read(self, digest: str) -> bytes:
        """A small blob.

        Raises:
            FileNotFoundError: it is not here.
            DamagedContent: it is something else.
        """
        data = self.path(digest).read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise self.damaged(digest)
        return data

    def adopt(self, file: Path, digest: str) -> None:
        """Make a complete file the blob ``digest``; the file is gone afterwards.

        The caller knows that the digest is right.
        """
        # Also where it is here already: what was damaged since is whole again.
        file.chmod(0o600)
        file.rename(self.path(digest))
        self._damaged.discard(digest)

    def put(self, data: bytes) -> str:
        """Keep a small blob; its digest."""
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
        """Delete the blob, if it is here."""
        self.path(digest).unlink(missing_ok=True)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """All blobs and their lengths; files left unfinished by a crash are deleted on the way."""
        with os.scandir(self._directory) as files:
            for file in files:
                if _HEX.fullmatch(file.name):
                    yield f"sha256:{file.name}", file.stat(follow_symlinks=False).st_size
                else:
                    with contextlib.suppress(OSError):
                        Path(file.path).unlink()
