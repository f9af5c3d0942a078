"""Blobs on their way here, as files that outlive a broken connection, a pull and the engine.

Files are left until a pull takes them into the store, so that the next pull goes on where
one ended; what nobody came back for in a day is deleted.
"""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from palan.engine.keyed_lock import KeyedLock


__all__ = ["Downloads"]

_DAY: Final = 24 * 3600


class Downloads:
    """The directory of files that are not in the store yet."""

    def __init__(self, directory: Path) -> None:
        """Prepare the directory."""
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._wanted: Counter[str] = Counter()
        self._busy = KeyedLock()
        self.alone: Final = self._busy.alone
        """Nobody else downloads the blob with this digest meanwhile."""

    def file(self, digest: str) -> Path:
        """Where a blob is, or will be, while it is not in the store."""
        return self._directory / digest.removeprefix("sha256:")

    def keep(self, digest: str) -> None:
        """A pull wants the file; until :meth:`release` it is not deleted."""
        self._wanted[digest] += 1

    def release(self, digests: Iterable[str]) -> None:
        """The pull is over."""
        self._wanted.subtract(digests)
        self._wanted = +self._wanted

    def drop(self, digests: Iterable[str]) -> None:
        """Delete the files of blobs that nobody wants now."""
        for digest in digests:
            if not self._in_use(digest):
                self.file(digest).unlink(missing_ok=True)

    def _in_use(self, digest: str) -> bool:
        return digest in self._busy or self._wanted[digest] > 0

    def forget(self, age: float = _DAY) -> int:
        """Delete files that nobody wants and nobody wrote to for ``age`` seconds.

        Returns:
            How many bytes that freed.
        """
        freed = 0
        limit = time.time() - age
        for file in list(self._directory.iterdir()):
            if self._in_use(f"sha256:{file.name}"):
                continue
            try:
                info = file.stat()
                if info.st_mtime <= limit:
                    file.unlink()
                    freed += info.st_size
            except FileNotFoundError:
                continue
        return freed
