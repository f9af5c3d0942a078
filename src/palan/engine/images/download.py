"""Downloading one blob from a registry into a file, which may be read meanwhile.

A partial file is hashed before anything is appended, so a download resumes where an earlier
one ended, and a damaged file is detected.  Blocking: one thread runs the download, another
may follow it.
"""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from palan.host.archive.space import SpaceWatch
from palan.registry.dial import Aborter
from palan.registry.failures import TransportError
from palan.registry.refusals import Refused
from palan.registry.repository import Repository


__all__ = ["Damaged", "Download", "Report"]

_PIECE: Final = 256 << 10
_PROGRESS: Final = 1 << 20
"""Bytes after which a broken attempt does not count as a failure."""

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 15.0
"""Seconds between attempts."""


class Damaged(Exception):
    """The downloaded content does not have the expected digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"filesystem layer verification failed for digest {digest}")


class _WrongSize(TransportError):
    """The server has other content under the digest; a retry does not help."""


class Report(Protocol):
    """A function that a download calls, in its thread, to report its progress."""

    def __call__(self, status: str, current: int = 0, total: int = 0, /) -> None:
        """Report a status, and the bytes done and in total."""


class Download:
    """The download of one blob: written by one thread, read by at most one other."""

    def __init__(self, digest: str, size: int, file: Path, report: Report) -> None:
        """Prepare.

        Args:
            digest: the expected digest.
            size: the expected number of bytes.
            file: the file to write; its present content is used.
            report: receives the progress.
        """
        self.digest = digest
        self.size = size
        self._file = file
        self._report = report
        self._changed = threading.Condition()
        self._have = 0
        self._done = False
        self._error: BaseException | None = None
        self._abandoned = False

    # ---- the thread that downloads ---------------------------------------------------

    def run(self, sources: Sequence[Repository], attempts: int, aborter: Aborter) -> None:
        """Download the blob from the first source that has it, and verify it.

        Args:
            sources: the repositories to ask, in this order.
            attempts: how often in a row each may fail without progress.
            aborter: aborts the download.

        Raises:
            Damaged: the digest is wrong; the file was removed.
            Refused: no source has the blob.
            TransportError: the connection failed repeatedly.
            OSError: the file system refuses.
        """
        try:
            self._run(sources, attempts, aborter)
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
            raise
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _run(self, sources: Sequence[Repository], attempts: int, aborter: Aborter) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b", buffering=0) as output:  # noqa: PTH123 - has the descriptor
            digest = hashlib.sha256()
            self._resume(output.fileno(), digest)
            if self._have < self.size:
                try:
                    self._fetch(sources, attempts, aborter, output.fileno(), digest)
                except OSError:
                    # From the disk; if it is full, half a blob is useless.
                    self._file.unlink(missing_ok=True)
                    raise
        self._report("Verifying Checksum")
        if f"sha256:{digest.hexdigest()}" != self.digest:
            self._file.unlink(missing_ok=True)
            raise Damaged(self.digest)
        self._report("Download complete")

    def _resume(self, descriptor: int, digest: "hashlib._Hash") -> None:
        """Hash the part that an earlier download left."""
        if os.fstat(descriptor).st_size > self.size:
            os.ftruncate(descriptor, 0)
        while piece := os.read(descriptor, _PIECE):
            digest.update(piece)
            self._advance(len(piece))

    def _fetch(
        self,
        sources: Sequence[Repository],
        attempts: int,
        aborter: Aborter,
        descriptor: int,
        digest: "hashlib._Hash",
    ) -> None:
        space = SpaceWatch(str(self._file.parent))
        for number, source in enumerate(sources):
            failures = 0
            while True:
                before = self._have
                try:
                    self._attempt(source, descriptor, digest, space)
                except (Refused, TransportError) as error:
                    if aborter.aborted:
                        raise
                    failures = 1 if self._have - before >= _PROGRESS else failures + 1
                    hopeless = isinstance(error, _WrongSize) or (
                        isinstance(error, Refused) and not error.temporary
                    )
                    if hopeless or failures >= attempts:
                        if number + 1 == len(sources):
                            raise
                        break
                    self._wait(error, failures, aborter)
                else:
                    return

    def _wait(self, error: Exception, failures: int, aborter: Aborter) -> None:
        wait = min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT)
        if isinstance(error, Refused):
            wait = max(wait, min(error.retry_after, 4 * _LONGEST_WAIT))
        seconds = max(1, round(wait))
        self._report(f"Retrying in {seconds} second{'s' if seconds > 1 else ''}")
        aborter.sleep(wait)

    def _attempt(
        self, source: Repository, descriptor: int, digest: "hashlib._Hash", space: SpaceWatch
    ) -> None:
        offset = self._have
        try:
            response = source.blob(self.digest, offset)
        except Refused as refusal:
            if refusal.status != 416:
                raise
            response = source.blob(self.digest)
        with response:
            start = offset if response.status == 206 else 0
            if response.status == 206 and not _begins_at(
                response.headers.get("Content-Range", ""), offset
            ):
                raise TransportError(f"{response.url}: the server sent another range than asked")
            length = response.length
            if length is not None and length != self.size - start:
                raise _WrongSize(
                    f"failed commit on ref {self.digest}: unexpected size: the server has"
                    f" {start + length} bytes, the manifest says {self.size}"
                )
            skip = offset - start
            while self._have < self.size:
                piece = response.read(min(_PIECE, self.size - self._have + skip))
                if not piece:
                    raise TransportError("unexpected EOF")
                if skip:
                    # The server ignores ranges: skip the part that exists; the digest verifies it.
                    dropped = min(skip, len(piece))
                    skip -= dropped
                    piece = piece[dropped:]
                if piece:
                    space.check(len(piece))
                    digest.update(piece)
                    _write(descriptor, piece)
                    self._advance(len(piece))

    def _advance(self, count: int) -> None:
        with self._changed:
            self._have += count
            self._changed.notify_all()
        self._report("Downloading", self._have, self.size)

    # ---- the thread that follows -----------------------------------------------------

    def abandon(self) -> None:
        """Make a thread that follows fail soon."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def pieces(self) -> Iterator[bytes]:
        """Yield the blob as it arrives; end only after it was verified.

        Raises:
            ConnectionAbortedError: the download was abandoned or failed.
        """
        with self._changed:
            while not (self._have or self._done or self._error or self._abandoned):
                self._changed.wait()
            if self._error or self._abandoned:
                raise ConnectionAbortedError("the download failed")
        try:
            file = self._file.open("rb", buffering=0)
        except FileNotFoundError:  # it was damaged, and was removed
            raise ConnectionAbortedError("the download failed") from None
        with file:
            read = 0
            while True:
                with self._changed:
                    while not (self._have > read or self._done or self._error or self._abandoned):
                        self._changed.wait()
                    have = self._have
                    if self._error or self._abandoned:
                        raise ConnectionAbortedError("the download failed")
                    if have == read and self._done:
                        return
                while read < have and (piece := file.read(min(_PIECE, have - read))):
                    read += len(piece)
                    yield piece


def _begins_at(content_range: str, offset: int) -> bool:
    """Whether a ``Content-Range`` (``bytes 5-9/10``) begins where it should."""
    unit, _, place = content_range.strip().lower().partition(" ")
    return unit == "bytes" and place.strip().partition("-")[0] == str(offset)


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
