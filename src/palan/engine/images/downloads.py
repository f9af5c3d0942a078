"""Files of blobs that are being downloaded; they outlive a connection, a pull and the engine.

A file stays until a pull moves it into the store, so that the next pull resumes where one
ended.  Files that were not written for a day are removed.
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
        self._held: Counter[str] = Counter()
        self._busy = KeyedLock()
        self.alone: Final = self._busy.alone
        """Locks the file of the blob with a digest, see :meth:`KeyedLock.alone`."""

    def file(self, digest: str) -> Path:
        """Return the file of a blob, which need not exist."""
        return self._directory / digest.removeprefix("sha256:")

    def hold(self, digest: str) -> None:
        """Keep a file from removal until :meth:`release`."""
        self._held[digest] += 1

    def release(self, digests: Iterable[str]) -> None:
        """Release the files that a pull held."""
        self._held.subtract(digests)
        self._held = +self._held

    def remove(self, digests: Iterable[str]) -> None:
        """Remove the files of some blobs, except held ones."""
        for digest in digests:
            if not self._in_use(digest):
                self.file(digest).unlink(missing_ok=True)

    def _in_use(self, digest: str) -> bool:
        return digest in self._busy or self._held[digest] > 0

    def remove_stale(self, age: float = _DAY) -> int:
        """Remove files that are not held and were not written for ``age`` seconds.

        Returns:
            The number of bytes freed.
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
