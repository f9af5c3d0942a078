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


__all__ = ["Content"]

_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Content:
    """A directory of blobs, ``<root>/sha256/<hex>``."""

    def __init__(self, root: Path) -> None:
        """Open the directory, making it where it is missing."""
        self._directory = root / "sha256"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)

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
        """Whether the blob is here."""
        return self.path(digest).exists()

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
        """
        return self.path(digest).read_bytes()

    def adopt(self, file: Path, digest: str) -> None:
        """Make a complete file the blob ``digest``; the file is gone afterwards.

        The caller knows that the digest is right.
        """
        # Also where it is here already: what was damaged since is whole again.
        file.chmod(0o600)
        file.rename(self.path(digest))

    def put(self, data: bytes) -> str:
        """Keep a small blob; its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            handle, name = tempfile.mkstemp(dir=self._directory, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).rename(self.path(digest))
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
