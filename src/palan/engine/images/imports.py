"""``POST /images/create`` with ``fromSrc``: makes an image of a root file system."""

import time
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig, ImageCreate
from palan.engine.images.archive_images import put_blob, put_manifest
from palan.engine.images.catalog import Catalog, Report
from palan.engine.images.changes import apply_changes
from palan.engine.images.describe import rfc3339
from palan.engine.images.fetch import open_url, redacted
from palan.engine.images.formats import HistoryEntry, ImageSpec, RootFS, encode
from palan.engine.images.image import Image
from palan.engine.images.ingest import add_image, examine
from palan.engine.images.layer_stream import make_layer
from palan.engine.images.layers import Unpacker
from palan.engine.images.platform import Platform, native_platform, parse_specifier
from palan.engine.images.reference import Reference, repository_and_tag
from palan.engine.threads import BodyReader, Incoming, in_thread


__all__ = ["Import", "open_source"]


class Import:
    """An import; its request is checked before its archive is read.

    Attributes:
        source: ``-`` for the body of the request, or a URL.
        shown_source: the same without a password.
        name: the name of the image; None for an image without a name.
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
        self.shown_source = redacted(self.source)
        self.comment = request.message or f"Imported from {self.shown_source}"

    async def run(
        self, catalog: Catalog, unpacker: Unpacker, source: Incoming, report: Report
    ) -> Image:
        """Make an image of the archive.

        Args:
            catalog: gets the image.
            unpacker: makes the layer.
            source: the archive.
            report: see :func:`~palan.engine.images.ingest.add_image`.

        Raises:
            InvalidParameter: the archive is malformed.
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
            return await add_image(catalog, unpacker, examined, names, lease, report=report)


# ---- where it comes from -----------------------------------------------------


def _url(text: str) -> str:
    """Return the URL of an archive; without a scheme it is http."""
    url = text if "://" in text else f"http://{text}"
    text = redacted(text)
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
    """Open the archive, for a thread to read.

    Raises:
        PalanError: the download failed.
    """
    if url == "-":
        async with BodyReader(body) as reader:
            yield reader
        return
    download = await in_thread(lambda: open_url(url))
    try:
        yield download
    finally:
        await in_thread(download.close)
