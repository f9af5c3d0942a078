"""The upload of one blob to a repository.

The blob is sent in one request at first. If the connection breaks, the server is asked how much
it has and receives the rest; if it does not say, the blob is sent again from the beginning. If
the server finds the request too large, the blob is sent in chunks.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from palan.api.errors import PalanError
from palan.registry.failures import TransportError
from palan.registry.refusals import NoCredentials, Refused
from palan.registry.repository import Repository
from palan.registry.transport import Payload


__all__ = ["DamagedBlob", "Upload"]

_ATTEMPTS: Final = 5
_CHUNK: Final = 16 << 20
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 15.0
"""Seconds between attempts."""


class DamagedBlob(Exception):
    """The content to upload does not match its digest."""


class Upload:
    """The upload of one blob; blocking."""

    def __init__(
        self,
        repository: Repository,
        digest: str,
        size: int,
        pieces: Callable[[int], Iterable[bytes]],
        report: Callable[[int], object],
    ) -> None:
        """Prepare; sends nothing.

        Args:
            repository: the repository to upload to.
            digest: the digest of the blob.
            size: its size in bytes.
            pieces: reads the blob from an offset on.
            report: receives the number of bytes sent so far.
        """
        self._repository = repository
        self._digest = digest
        self._size = size
        self._pieces = pieces
        self._report = report
        self._location = ""
        self._damaged = False

    def mount(self, sources: Iterable[str]) -> str:
        """Try to mount the blob from another repository of the registry.

        Args:
            sources: paths of repositories that may have the blob.

        Returns:
            The repository it was mounted from; "" if the blob has to be uploaded.
        """
        for source in sources:
            try:
                location = self._repository.mount(self._digest, source)
            except (Refused, NoCredentials, PalanError, TransportError):
                # Without read access to the source, the blob can still be uploaded.
                continue
            if self._location:
                self._repository.cancel_upload(self._location)
            if location is None:
                return source
            self._location = location
        return ""

    def run(self) -> None:
        """Upload the blob.

        Raises:
            DamagedBlob: the content does not match the digest.
            Refused: the server does not accept it.
            TransportError: the connection broke repeatedly.
        """
        failures = 0
        chunked = False
        location, offset = self._location, 0
        while True:
            try:
                location = location or self._repository.begin_upload()
                if offset or chunked:
                    self._in_chunks(location, offset)
                else:
                    self._repository.finish_upload(location, self._digest, self._payload(0))
            except (Refused, TransportError) as error:
                aborter = self._repository.server.aborter
                if self._damaged:
                    raise DamagedBlob from None
                failures += 1
                too_large = isinstance(error, Refused) and error.status == 413 and not chunked
                chunked = chunked or too_large
                if aborter.aborted or failures >= _ATTEMPTS:
                    raise
                wait = min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT)
                if isinstance(error, Refused) and not too_large:
                    if not error.temporary and error.status not in (404, 416):
                        raise
                    wait = max(wait, min(error.retry_after, 4 * _LONGEST_WAIT))
                aborter.sleep(wait)
                location, offset = self._resume_point(location)
            else:
                return

    def _in_chunks(self, location: str, offset: int) -> None:
        while offset < self._size:
            end = min(offset + _CHUNK, self._size)
            location = self._repository.append_upload(location, offset, self._payload(offset, end))
            offset = end
        self._repository.finish_upload(location, self._digest, None)

    def _resume_point(self, location: str) -> tuple[str, int]:
        """Return the URL to continue the upload, and the number of bytes the server has."""
        if location:
            try:
                return self._repository.upload_status(location)
            except (Refused, TransportError):
                self._repository.cancel_upload(location)
        return "", 0

    def _payload(self, offset: int, end: int | None = None) -> Payload:
        end = self._size if end is None else end
        return Payload(end - offset, lambda: self._counted(offset, end))

    def _counted(self, offset: int, end: int) -> Iterator[bytes]:
        digest = hashlib.sha256() if offset == 0 and end == self._size else None
        sent = offset
        for piece in self._pieces(offset):
            wanted = piece[: end - sent]
            if digest:
                digest.update(wanted)
            sent += len(wanted)
            if digest and sent == end and f"sha256:{digest.hexdigest()}" != self._digest:
                # The last piece is withheld, so that the server cannot take the blob for complete.
                break
            yield wanted
            self._report(sent)
            if sent == end:
                return
        self._damaged = True
        raise ConnectionAbortedError("the content is damaged")
