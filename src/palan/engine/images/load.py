"""``POST /images/load``: loads the images of an archive, and reports progress."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from palan.api.errors import NotFound, PalanError
from palan.api.images import ErrorDetail, JSONMessage
from palan.engine.images.archive_images import Found, find_images
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.image import Image
from palan.engine.images.ingest import Examined, add_image
from palan.engine.images.layers import LayerSource, Unpacker
from palan.engine.images.platform import Platform
from palan.engine.images.progress import Progress
from palan.engine.images.receive import receive
from palan.engine.threads import BodyReader, in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.unpack import Unpacked


__all__ = ["Loading"]

_WORTH_TELLING: Final = 1 << 20
"""Bytes below which a layer's progress is not reported, as it is unpacked at once."""

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
            catalog: gets the images.
            unpacker: makes layers.
            loaded: called with each image and name.
            platforms: the platforms of the images to load; empty for all.
            quiet: report images only, not layers.
        """
        self._catalog = catalog
        self._unpacker = unpacker
        self._loaded = loaded
        self._platforms = platforms
        self._quiet = quiet

    async def run(self, body: AsyncIterator[bytes]) -> AsyncIterator[JSONMessage]:
        """Load the archive, and yield the lines to send.

        All errors are sent in-band, even the first line: clients of load expect them there.
        """
        try:
            with (
                self._catalog.lease() as lease,
                self._unpacker.scratch() as directory,
            ):
                for found in await self._receive(body, directory, lease):
                    progress = Progress()
                    async for message in progress.during(self._add(found, lease, progress)):
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

    async def _add(self, found: Found, lease: Lease, progress: Progress) -> None:
        names = [name.familiar for name in found.names]
        missing = _select_platforms(found.examined, self._platforms)
        if missing:
            # In dockerd's words; images for other platforms are not loaded.
            name = (names or [found.examined.target.digest])[0]
            raise NotFound(
                f"image {name} was loaded, but doesn't provide the requested platform"
                f" ([{' '.join(missing)}])"
            )
        supply = None if self._quiet else _ReportingSupply(self._catalog, self._unpacker, progress)

        def report(image: Image) -> None:
            for name in names or [image.id]:
                self._loaded(image, name)

        image = await add_image(
            self._catalog,
            self._unpacker,
            found.examined,
            found.names,
            lease,
            supply=supply,
            report=report,
        )
        for name in names or [image.id]:
            kind = "image" if names else "image ID"
            progress.say(JSONMessage(stream=f"Loaded {kind}: {name}\n"))


def _select_platforms(examined: Examined, platforms: Sequence[Platform]) -> list[str]:
    """Remove images for other platforms; if no image is left, return the wanted platforms."""
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


class _ReportingSupply:
    """Unpacks layers, and reports large ones before and after."""

    def __init__(self, catalog: Catalog, unpacker: Unpacker, progress: Progress) -> None:
        self._content = catalog.content
        self._unpacker = unpacker
        self._progress = progress

    async def unpack(self, source: LayerSource, directory: Path) -> Unpacked:
        size = self._content.size(source.blob)
        if size < _WORTH_TELLING:
            return await self._unpacker.unpack(source, directory)
        self._progress.report(source.diff_id, "Loading layer", 0, size)
        unpacked = await self._unpacker.unpack(source, directory)
        self._progress.report(source.diff_id, "Loading layer", size, size)
        return unpacked

    def on_placed(self, source: LayerSource) -> None:
        """Do nothing: the layer was reported by :meth:`unpack`."""
