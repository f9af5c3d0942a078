"""``POST /images/create`` with ``fromSrc``: a root file system becomes an image."""

import http.client
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Final

from palan.api.errors import InternalError, InvalidParameter
from palan.api.images import ImageConfig, ImageCreate
from palan.engine.images.catalog import Catalog
from palan.engine.images.changes import apply_changes
from palan.engine.images.describe import rfc3339
from palan.engine.images.formats import HistoryEntry, ImageSpec, RootFS, encode
from palan.engine.images.image import Image
from palan.engine.images.ingest import examine, take_in
from palan.engine.images.layer_stream import make_layer
from palan.engine.images.layers import Unpacker
from palan.engine.images.load import put_blob, put_manifest
from palan.engine.images.platform import Platform, native_platform, parse_specifier
from palan.engine.images.reference import Reference, repository_and_tag
from palan.engine.images.streaming import BodyReader, Incoming, in_thread


__all__ = ["Import", "open_source"]

_PIECE: Final = 256 << 10
_TIMEOUT: Final = 60.0


class Import:
    """What is to be imported, checked before a byte of it is read.

    Attributes:
        source: ``-`` or a URL.
        name: the name it gets, if any.
    """

    def __init__(self, request: ImageCreate) -> None:
        """Check the request.

        Raises:
            InvalidParameter: a name, platform, source or change is malformed.
        """
        self.name: Reference | None = repository_and_tag(request.repo, request.tag)
        self.platform: Platform = (
            parse_specifier(request.platform) if request.platform else native_platform()
        )
        self.config = ImageConfig()
        apply_changes(self.config, request.changes)
        self.source = request.from_src if request.from_src == "-" else _url(request.from_src)
        self.comment = request.message or f"Imported from {self.source}"

    async def run(self, catalog: Catalog, unpacker: Unpacker, source: Incoming) -> Image:
        """Take the archive in.

        Args:
            catalog: where it goes.
            unpacker: makes the layer.
            source: the archive.

        Raises:
            InvalidParameter: it is no archive of a root file system.
            InternalError: the file system refuses.
        """
        with catalog.lease() as lease, unpacker.scratch() as directory:
            made = await make_layer(catalog, unpacker, source, directory, lease, what="image")
            now = rfc3339(time.time_ns())
            spec = ImageSpec(
                created=now,
                architecture=self.platform.architecture,
                variant=self.platform.variant,
                os=self.platform.os,
                config=self.config,
                rootfs=RootFS(diff_ids=[made.diff_id]),
                history=[HistoryEntry(created=now, comment=self.comment)],
            )
            data = encode(spec)
            config = put_blob(catalog.content, data, lease)
            manifest = put_manifest(catalog.content, config, len(data), [made.descriptor], lease)
            examined = examine(catalog.content, manifest)
            names = [self.name] if self.name else []
            return await take_in(catalog, unpacker, examined, names, lease)


# ---- where it comes from -----------------------------------------------------


def _url(text: str) -> str:
    """The URL of an archive; without a scheme it is http."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise InvalidParameter(f'cannot import from "{text}": {error}') from None
    if parts.scheme not in ("http", "https"):
        raise InvalidParameter(
            f'cannot import from "{text}": only http and https URLs, or - for the body'
        )
    if not parts.hostname or not _has_valid_port(parts):
        raise InvalidParameter(
            f'cannot import from "{text}": it names no host and port; give fromImage to pull'
            " an image, or fromSrc=- to import the body of the request"
        )
    return url


def _has_valid_port(parts: urllib.parse.SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


@asynccontextmanager
async def open_source(url: str, body: AsyncIterator[bytes]) -> AsyncIterator[Incoming]:
    """The bytes to import, for a thread to read.

    Raises:
        InternalError: a URL cannot be fetched.
    """
    if url == "-":
        async with BodyReader(body) as reader:
            yield reader
        return
    try:
        response = await in_thread(lambda: _fetch(url))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InternalError(f'Get "{url}": {_reason(url, error)}') from None
    try:
        yield _Download(response)
    finally:
        await in_thread(response.close)


class _Download:
    """The body of a response; its time-out is all that ends a read in progress."""

    def __init__(self, response: IO[bytes]) -> None:
        self._response = response
        self._aborted = False

    def __call__(self) -> bytes:
        if self._aborted:
            raise ConnectionAbortedError("the client has gone")
        try:
            return self._response.read(_PIECE)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the download broke off: {error}") from None

    def abort(self) -> None:
        """Read no more."""
        self._aborted = True


def _fetch(url: str) -> IO[bytes]:
    # Only these two handlers: a redirection must not lead to a file of this machine.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    response: IO[bytes] | None = opener.open(url, timeout=_TIMEOUT)
    if response is None:
        raise ValueError("redirected to something that is neither http nor https")
    return response


def _reason(url: str, error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"unexpected status {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {parts.hostname}:{port}: connect: {error.strerror.lower()}"
    return str(error)
