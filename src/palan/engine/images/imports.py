"""``POST /images/create`` with ``fromSrc``: a root file system becomes an image."""

import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from palan.api.errors import InternalError, InvalidParameter
from palan.api.images import ImageConfig, ImageCreate
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.changes import apply_changes
from palan.engine.images.describe import rfc3339
from palan.engine.images.formats import (
    Descriptor,
    HistoryEntry,
    ImageSpec,
    RootFS,
    encode,
    layer_media_type,
)
from palan.engine.images.image import Image
from palan.engine.images.ingest import examine, take_in
from palan.engine.images.layers import Unpacker, unpacking_failed
from palan.engine.images.load import put_blob, put_manifest
from palan.engine.images.platform import Platform, host_platform, parse_specifier
from palan.engine.images.reference import Reference, repository_and_tag
from palan.engine.images.streaming import BodyReader, Incoming, in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import Compression, detect
from palan.host.archive.unpack import Options, Unpacked, unpack_pieces


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
            parse_specifier(request.platform) if request.platform else host_platform()
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
            blob = directory / "layer"
            layer, diff_id = await self._layer(catalog, unpacker, source, blob, lease)
            now = rfc3339(time.time_ns())
            spec = ImageSpec(
                created=now,
                architecture=self.platform.architecture,
                variant=self.platform.variant,
                os=self.platform.os,
                config=self.config,
                rootfs=RootFS(diff_ids=[diff_id]),
                history=[HistoryEntry(created=now, comment=self.comment)],
            )
            data = encode(spec)
            config = put_blob(catalog.content, data, lease)
            manifest = put_manifest(catalog.content, config, len(data), [layer], lease)
            examined = examine(catalog.content, manifest)
            names = [self.name] if self.name else []
            return await take_in(catalog, unpacker, examined, names, lease)

    async def _layer(
        self, catalog: Catalog, unpacker: Unpacker, source: Incoming, blob: Path, lease: Lease
    ) -> tuple[Descriptor, str]:
        """Unpack the stream and keep it as it came, both while it arrives."""
        async with unpacker.staging() as staging:
            receiver = _Receiver(source, blob)
            try:
                unpacked = await in_thread(lambda: receiver.unpack(staging / "diff"), source.abort)
            except (ArchiveError, OSError) as error:
                raise unpacking_failed("image", error) from None
            diff_id = unpacked.digest if receiver.compression else receiver.blob_digest
            lease.blob(receiver.blob_digest)
            lease.layer(diff_id)
            catalog.content.adopt(blob, receiver.blob_digest)
            async with unpacker.alone(diff_id):
                if diff_id not in catalog.layers:
                    await unpacker.place(staging, diff_id, diff_id, unpacked, ())
        descriptor = Descriptor(
            media_type=layer_media_type(receiver.compression),
            digest=receiver.blob_digest,
            size=receiver.size,
        )
        return descriptor, diff_id


class _Receiver:
    """Reads a stream once: into a blob, through a digest, and into the unpacking child."""

    def __init__(self, source: Incoming, blob: Path) -> None:
        self.size = 0
        self.blob_digest = ""
        self.compression: Compression = ""
        self._source = source
        self._blob = blob

    def unpack(self, directory: Path) -> Unpacked:
        """Do it all; blocking."""
        head = b""
        while len(head) < 6 and (piece := self._source()):
            head += piece
        self.compression = detect(head)
        digest = hashlib.sha256()
        options = Options(digest=bool(self.compression), whiteouts="overlay")
        with self._blob.open("wb") as file:

            def keep(piece: bytes) -> None:
                digest.update(piece)
                self.size += len(piece)
                file.write(piece)

            unpacked = unpack_pieces(
                self._pieces(head), directory, self.compression, options, seen=keep
            )
        self.blob_digest = f"sha256:{digest.hexdigest()}"
        return unpacked

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        if head:
            yield head
        while piece := self._source():
            yield piece


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
