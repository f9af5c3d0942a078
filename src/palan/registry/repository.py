"""One repository on one server: the requests of the OCI distribution specification.

All methods block. An unexpected status raises :class:`Refused`.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import quote, urlencode, urljoin

import msgspec

from palan.registry.failures import ConnectionBroken, TransportError
from palan.registry.refusals import Refused, read_refusal
from palan.registry.server import Server
from palan.registry.transport import Payload, Response
from palan.registry.urls import redacted


__all__ = ["ManifestInfo", "Repository"]

T = TypeVar("T")

_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = 10.0
"""Seconds; if a server asks for a longer wait, the request is not retried."""

_MANIFEST_MAX: Final = 8 << 20
_TAGS_MAX: Final = 16 << 20
_MAX_PAGES: Final = 1000
_NEXT: Final = re.compile(r'<([^<>]{1,4096})>[^,<]{0,256};\s{0,16}rel="?next"?')
_UPLOADED: Final = re.compile(r"(?:bytes=)?0-(\d{1,15})")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ManifestInfo:
    """The description of a manifest in the headers of a response.

    Attributes:
        media_type: "" if the server does not say.
        digest: "" if the server does not say.
        size: bytes, 0 if the server does not say.
        data: the manifest itself, if it was fetched.
    """

    media_type: str
    digest: str
    size: int
    data: bytes = b""


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """One repository on one server; blocking."""

    def __init__(self, server: Server, name: str, *, push: bool = False) -> None:
        """Prepare the requests; sends nothing.

        Args:
            server: the server to ask.
            name: the repository's path, such as ``library/busybox``.
            push: request tokens that also allow to push.
        """
        self.server = server
        self.name = name
        self._scopes = (f"repository:{name}:{'pull,push' if push else 'pull'}",)

    # ---- manifests -------------------------------------------------------------------

    def find(self, reference: str, accept: str) -> ManifestInfo:
        """Resolve a tag or digest, without fetching the manifest if the server answers ``HEAD``.

        The digest is the one asked for, or what the server says about a tag. The caller has to
        verify the data.

        Raises:
            Refused: the manifest does not exist, or access is denied.
            TransportError: no answer was received, it was incomplete, or it is too large.
        """
        try:
            with self._ask("HEAD", f"manifests/{reference}", {"Accept": accept}) as response:
                found = _found(response)
        except Refused as refusal:
            if not _is_for_head(refusal):
                raise
            return self.fetch(reference, accept)
        return replace(found, digest=reference) if _DIGEST.fullmatch(reference) else found

    def fetch(self, reference: str, accept: str) -> ManifestInfo:
        """Fetch a manifest; the caller has to verify its digest, see :meth:`find`.

        Raises:
            Refused: the manifest does not exist, or access is denied.
            TransportError: no answer was received, it was incomplete, or it is too large.
        """
        response, data = self._read(f"manifests/{reference}", _MANIFEST_MAX, {"Accept": accept})
        found = replace(_found(response), data=data)
        return replace(found, digest=reference) if _DIGEST.fullmatch(reference) else found

    def tags(self) -> Iterator[str]:
        """Iterate over all tags, page by page.

        Raises:
            Refused: the server does not list them.
            TransportError: no answer was received.
        """
        url = self._url("tags/list")
        for _ in range(_MAX_PAGES):
            response, data = self._read(url, _TAGS_MAX)
            try:
                page = msgspec.json.decode(data, type=_Tags)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise TransportError(f'Get "{redacted(url)}": the answer is not a list') from None
            following = _NEXT.search(response.headers.get("Link", ""))
            yield from page.tags or ()
            if following is None:
                return
            url = urljoin(url, following[1])

    # ---- blobs -----------------------------------------------------------------------

    def blob(self, digest: str, offset: int = 0) -> Response:
        """Request a blob from ``offset`` on: status 206, or 200 if it starts at the beginning.

        Not retried here: the reader has to handle an interrupted transfer anyway.

        Raises:
            Refused: the blob does not exist, or access is denied.
            TransportError: no answer was received.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._open("GET", self._url(f"blobs/{digest}"), headers)
        if response.status not in ((200, 206) if offset else (200,)):
            raise read_refusal("GET", response)
        return response

    def small_blob(self, digest: str, limit: int) -> bytes:
        """Fetch a whole blob of at most ``limit`` bytes.

        Raises:
            Refused: the blob does not exist, or access is denied.
            TransportError: no answer was received, it was incomplete, or it is larger.
        """
        return self._read(f"blobs/{digest}", limit)[1]

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob.

        Raises:
            Refused: the server does not say.
            TransportError: no answer was received.
        """
        for method in ("HEAD", "GET"):
            try:
                self._ask(method, f"blobs/{digest}").close()
            except Refused as refusal:
                if refusal.status == 404:
                    return False
                if method == "GET" or not _is_for_head(refusal):
                    raise
            else:
                return True
        return False

    # ---- uploads ---------------------------------------------------------------------

    def put_manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Store a manifest under a tag or its digest.

        Raises:
            Refused: the server does not accept it.
            TransportError: no answer was received.
        """
        headers = {"Content-Type": media_type}
        self._ask("PUT", f"manifests/{reference}", headers, data, (200, 201, 202)).close()

    def mount(self, digest: str, source: str) -> str | None:
        """Mount a blob of another repository of the same registry into this one.

        Returns:
            None if it was mounted, otherwise the URL of an upload that the server began instead.

        Raises:
            Refused: the server denies it.
            TransportError: no answer was received.
        """
        url = f"{self._url('blobs/uploads/')}?{urlencode({'mount': digest, 'from': source})}"
        scopes = (*self._scopes, f"repository:{source}:pull")
        response = self.server.open("POST", url, scopes=scopes, body=b"")
        if response.status not in (201, 202):
            raise read_refusal("POST", response)
        with response:
            return None if response.status == 201 else _location(response)

    def begin_upload(self) -> str:
        """Begin the upload of a blob and return its URL.

        Raises:
            Refused: the server does not accept uploads.
            TransportError: no answer was received.
        """
        with self._ask("POST", "blobs/uploads/", body=b"", accepted=(202,)) as response:
            return _location(response)

    def append_upload(self, location: str, offset: int, chunk: Payload) -> str:
        """Send a part of a blob and return the URL for the next part.

        Raises:
            Refused: the server does not accept it.
            TransportError: the connection broke.
        """
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{offset}-{offset + chunk.size - 1}",
        }
        response = self._open("PATCH", location, headers, chunk)
        if response.status not in (201, 202, 204):
            raise read_refusal("PATCH", response)
        with response:
            return _location(response)

    def finish_upload(self, location: str, digest: str, rest: Payload | None) -> None:
        """Send the rest of a blob and complete the upload.

        Raises:
            Refused: the server does not accept it.
            TransportError: the connection broke.
        """
        url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream"} if rest else {}
        response = self._open("PUT", url, headers, rest or b"")
        if response.status not in (200, 201, 204):
            raise read_refusal("PUT", response)
        response.close()

    def upload_status(self, location: str) -> tuple[str, int]:
        """Return the URL to continue an upload, and the number of bytes the server has.

        Raises:
            Refused: no such upload.
            TransportError: no answer was received, or it gives no range.
        """
        with self._ask("GET", location, accepted=(202, 204)) as response:
            have = _UPLOADED.fullmatch(response.headers.get("Range", ""))
            if have is None:
                raise TransportError("the server does not say how much it has")
            there = int(have[1])
            return _location(response, location), there + 1 if there else 0

    def cancel_upload(self, location: str) -> None:
        """Ask the server to discard an upload; errors are ignored."""
        with contextlib.suppress(TransportError):
            self._open("DELETE", location).close()

    # ---- requests --------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return self.server.url(f"{self.name}/{quote(path, safe='/:@')}")

    def _open(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: bytes | Payload | None = None,
    ) -> Response:
        return self.server.open(method, url, scopes=self._scopes, headers=headers, body=body)

    def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Response:
        """Send a request; retry if the server is busy or the connection breaks."""
        return self._retrying(lambda: self._once(method, path, headers, body, accepted))

    def _read(
        self, path: str, limit: int, headers: dict[str, str] | None = None
    ) -> tuple[Response, bytes]:
        """Return the response to a ``GET`` and its whole body; retries like :meth:`_ask`."""

        def attempt() -> tuple[Response, bytes]:
            with self._once("GET", path, headers) as response:
                return response, response.body(limit)

        return self._retrying(attempt)

    def _once(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Response:
        url = path if "://" in path else self._url(path)
        response = self._open(method, url, headers, body)
        if response.status not in accepted:
            raise read_refusal(method, response)
        return response

    def _retrying(self, once: Callable[[], T]) -> T:
        for attempt in range(1, _ATTEMPTS):
            wait = 0.25 * 2**attempt
            try:
                return once()
            except Refused as refusal:
                wait = max(wait, refusal.retry_after)
                if not refusal.temporary or wait > _LONGEST_WAIT:
                    raise
            except ConnectionBroken:
                if self.server.aborter.aborted:
                    raise
            self.server.aborter.sleep(wait)
        return once()


def _location(response: Response, default: str = "") -> str:
    """Return the absolute URL in the ``Location`` of a response.

    Raises:
        TransportError: the header is missing and no default is given.
    """
    location = response.headers.get("Location", "")
    if not location and not default:
        raise TransportError(f"{redacted(response.url)}: the answer has no Location")
    return urljoin(response.url, location) if location else default


def _is_for_head(refusal: Refused) -> bool:
    """Whether a ``GET`` may succeed where a ``HEAD`` was refused.

    Registries redirect to storage whose signed addresses are for ``GET`` only. Also, only the
    answer to a ``GET`` says why it is refused.
    """
    return 400 <= refusal.status < 500 and refusal.status not in (401, 429)


def _found(response: Response) -> ManifestInfo:
    digest = response.headers.get("Docker-Content-Digest", "")
    size = response.headers.get("Content-Length", "")
    return ManifestInfo(
        response.headers.get_content_type() if "Content-Type" in response.headers else "",
        digest if _DIGEST.fullmatch(digest) else "",
        int(size) if size.isdecimal() and len(size) < 12 else 0,
    )
