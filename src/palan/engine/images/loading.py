"""``POST /images/load``: one archive taken in, image by image, with what is told meanwhile."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from palan.api.errors import NotFound, PalanError
from palan.api.images import ErrorDetail, JSONMessage
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.image import Image
from palan.engine.images.ingest import Examined, take_in
from palan.engine.images.layers import LayerSource, Unpacker
from palan.engine.images.load import Found, find_images
from palan.engine.images.platform import Platform
from palan.engine.images.progress import Progress
from palan.engine.images.receive import receive
from palan.engine.threads import BodyReader, in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.unpack import Unpacked


__all__ = ["Loading"]

_WORTH_TELLING: Final = 1 << 20
"""Bytes; what is smaller is there before a client could show it."""

_log = structlog.get_logger("palan.engine.images")


class Loading:
    """A request to load."""

    def __init__(
        self,
        catalog: Catalog,
        unpacker: Unpacker,
        loaded: Callable[[Image, str], object],
        platforms: Sequence[Platform],
        *,
        quiet: bool,
    ) -> None:
        """Describe the request.

        Args:
            catalog: where images go.
            unpacker: makes layers.
            loaded: called with each image and name.
            platforms: what to take of images for several; none is all.
            quiet: tell of images only, not of layers.
        """
        self._catalog = catalog
        self._unpacker = unpacker
        self._loaded = loaded
        self._platforms = platforms
        self._quiet = quiet

    async def run(self, body: AsyncIterator[bytes]) -> AsyncIterator[JSONMessage]:
        """Take the archive in.

        Whatever goes wrong is said in-band, also before anything else: clients of load read
        errors there.
        """
        try:
            with (
                self._catalog.lease() as lease,
                self._unpacker.scratch() as directory,
            ):
                for found in await self._receive(body, directory, lease):
                    progress = Progress()
                    async for message in progress.during(self._take_in(found, lease, progress)):
                        yield message
        except (PalanError, ArchiveError) as error:
            yield JSONMessage(error_detail=ErrorDetail(message=str(error)), error=str(error))
        except OSError as error:
            reason = error.strerror or str(error) or "the archive could not be read"
            text = f"failed to load images: {reason}"
            _log.warning("loading images failed", error=str(error))
            yield JSONMessage(error_detail=ErrorDetail(message=text), error=text)

    async def _receive(
        self, body: AsyncIterator[bytes], directory: Path, lease: Lease
    ) -> Sequence[Found]:
        async with BodyReader(body) as reader:
            members = await in_thread(lambda: receive(reader, directory), reader.abort)
        return await in_thread(lambda: find_images(self._catalog.content, members, lease))

    async def _take_in(self, found: Found, lease: Lease, progress: Progress) -> None:
        names = [name.familiar for name in found.names]
        missing = _keep_only(found.examined, self._platforms)
        if missing:
            # In dockerd's words; what the archive has for other platforms is not taken.
            name = (names or [found.examined.target.digest])[0]
            raise NotFound(
                f"image {name} was loaded, but doesn't provide the requested platform"
                f" ([{' '.join(missing)}])"
            )
        supply = None if self._quiet else _Telling(self._catalog, self._unpacker, progress)
        image = await take_in(
            self._catalog, self._unpacker, found.examined, found.names, lease, supply=supply
        )
        for name in names or [image.id]:
            self._loaded(image, name)
            kind = "image" if names else "image ID"
            progress.say(JSONMessage(stream=f"Loaded {kind}: {name}\n"))


def _keep_only(examined: Examined, platforms: Sequence[Platform]) -> list[str]:
    """Forget the images for other platforms; the platforms, if there is one for none of them."""
    if not platforms:
        return []
    kept: set[str] = set()
    images = [m for m in examined.target.manifests if m.image]
    for platform in platforms:
        ranked = [
            (rank, number)
            for number, manifest in enumerate(images)
            if (rank := Platform(*manifest.platform).rank(platform, strict=True)) is not None
        ]
        if ranked:
            kept.add(images[min(ranked)[1]].digest)
    for manifest in examined.target.manifests:
        if not {manifest.digest, manifest.subject} & kept:
            examined.layers.pop(manifest.image, None)
            manifest.image, manifest.blobs = "", []
    return [] if kept else [str(platform) for platform in platforms]


class _Telling:
    """Unpacks layers, and tells of each that takes a while, before and after."""

    def __init__(self, catalog: Catalog, unpacker: Unpacker, progress: Progress) -> None:
        self._content = catalog.content
        self._unpacker = unpacker
        self._progress = progress

    async def unpack(self, source: LayerSource, directory: Path) -> Unpacked:
        size = self._content.size(source.blob)
        if size < _WORTH_TELLING:
            return await self._unpacker.unpack(source, directory)
        self._progress.tell(source.diff_id, "Loading layer", 0, size)
        unpacked = await self._unpacker.unpack(source, directory)
        self._progress.tell(source.diff_id, "Loading layer", size, size)
        return unpacked

    def placed(self, source: LayerSource) -> None:
        """Told already."""
