"""Compressing of the layers of an image before its first push.

Builds, commits and imports leave layers as they come, so they need not wait for a compressor.
Before an image that was made here is pushed, its layers are compressed, and a new manifest
replaces the old one under all names of the image, whose id stays the same. So each layer is
compressed once, and later pushes and mounts know its digest. What was pulled is never changed.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from palan.api.errors import InternalError
from palan.engine.images.archive_images import put_manifest
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.commit import pinned_layers
from palan.engine.images.context import ImageContext
from palan.engine.images.formats import (
    OCI_CONFIG,
    Descriptor,
    Manifest,
    encode,
    layer_media_type,
)
from palan.engine.images.image import Image
from palan.engine.images.ingest import compression_of, examine
from palan.engine.images.lookup import find
from palan.engine.images.progress import Progress
from palan.engine.images.reference import Reference
from palan.engine.threads import in_thread
from palan.host.archive.deflate import gzip_stream
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import inflated
from palan.store.images import NameRecord, Rows, TargetRecord


__all__ = ["compress_image"]

_PIECE: Final = 256 << 10
_PUSHABLE: Final = frozenset({"gzip", "zstd"})


async def compress_image(
    context: ImageContext, name: Reference, lease: Lease, progress: Progress
) -> None:
    """Compress the layers of the image that a name means, if it was made here.

    Args:
        context: the images.
        name: the name; afterwards it means the new manifest.
        lease: pins the content.
        progress: receives the progress.

    Raises:
        NotFound: no such name.
        InternalError: the file system refuses.
        DamagedContent: a layer is damaged.
    """
    catalog = context.catalog
    target = find(catalog, str(name)).target
    # The second of two pushes finds the layers compressed.
    async with context.unpacker.alone(f"compress:{target.digest}"):
        image = _made_here(catalog, target)
        if image is None:
            return
        layers = pinned_layers(catalog, image, lease)
        lease.blob(target.digest)
        if not await in_thread(lambda: _is_own_manifest(catalog, target, image, layers)):
            return
        known = _known_layers(catalog, image)
        with context.unpacker.scratch() as directory:
            work = _Compressor(catalog, lease, progress, directory)
            made = [
                await work.layer(layer, diff_id, known)
                for layer, diff_id in zip(layers, image.spec.rootfs.diff_ids, strict=True)
            ]
        if made == layers:
            return
        size = catalog.content.size(image.id)
        manifest = put_manifest(catalog.content, image.id, size, made, lease)
        descriptor = replace(manifest, annotations=target.annotations)
        new = (await in_thread(lambda: examine(catalog.content, descriptor))).target
        async with catalog.lock:
            if target.digest not in catalog.targets:
                return  # removed meanwhile
            names = [
                NameRecord(record.name, new.digest, record.tagged)
                for record in catalog.names_to([target])
            ]
            await catalog.add(Rows(names, [new]))


def _made_here(catalog: Catalog, target: TargetRecord) -> Image | None:
    """Return the image of a target that has one manifest and was not pulled."""
    if target.digest not in catalog.targets or len(target.manifests) != 1:
        return None
    manifest = target.manifests[0]
    image = catalog.images.get(manifest.image)
    if manifest.digest != target.digest or image is None or image.record.pulled:
        return None
    return image


def _is_own_manifest(
    catalog: Catalog, target: TargetRecord, image: Image, layers: list[Descriptor]
) -> bool:
    """Whether the manifest is the one that the engine makes; a loaded one may be signed."""
    config = Descriptor(media_type=OCI_CONFIG, digest=image.id, size=catalog.content.size(image.id))
    own = encode(Manifest(config=config, layers=layers))
    return len(own) == target.size and own == catalog.content.read(target.digest)


def _known_layers(catalog: Catalog, image: Image) -> dict[str, list[str]]:
    """Return the blobs of the image's layers in other images, by diff id."""
    found: dict[str, list[str]] = {diff_id: [] for diff_id in image.spec.rootfs.diff_ids}
    for other in catalog.images.values():
        diff_ids = other.spec.rootfs.diff_ids
        if other is image or found.keys().isdisjoint(diff_ids):
            continue
        record = catalog.content_of(other)
        if record is None or len(record.blobs) != len(diff_ids) + 1:
            continue
        for diff_id, blob in zip(diff_ids, record.blobs[1:], strict=True):
            if diff_id in found and blob.digest != diff_id:
                found[diff_id].append(blob.digest)
    return found


class _Compressor:
    """Compresses the layers of one image."""

    def __init__(self, catalog: Catalog, lease: Lease, progress: Progress, directory: Path) -> None:
        self._content = catalog.content
        self._lease = lease
        self._progress = progress
        self._directory = directory
        self._ended = threading.Event()

    async def layer(
        self, layer: Descriptor, diff_id: str, known: Mapping[str, Sequence[str]]
    ) -> Descriptor:
        """Return the compressed form of a layer; itself if it is compressed."""
        for digest in known[diff_id]:
            self._lease.blob(digest)
        try:
            return await in_thread(
                lambda: self._layer(layer, diff_id, known[diff_id]), self._ended.set
            )
        except ArchiveError:
            raise self._content.mark_damaged(layer.digest) from None
        except OSError as error:
            raise InternalError(
                f"failed to compress {layer.digest}: {(error.strerror or 'failed').lower()}"
            ) from None

    def _layer(self, layer: Descriptor, diff_id: str, known: Sequence[str]) -> Descriptor:
        compression = compression_of(self._content, layer.digest)
        if compression in _PUSHABLE:
            return layer
        for digest in known:
            if self._content.has(digest) and compression_of(self._content, digest) == "gzip":
                size = self._content.size(digest)
                return Descriptor(media_type=layer_media_type("gzip"), digest=digest, size=size)
        done = 0
        with self._content.path(layer.digest).open("rb", buffering=0) as file:

            def read() -> bytes:
                nonlocal done
                if self._ended.is_set():
                    raise ConnectionAbortedError
                piece = file.read(_PIECE)
                done += len(piece)
                self._progress.report(layer.digest, "Compressing", done, layer.size + 1)
                return piece

            place = self._directory / layer.digest[7:]
            with place.open("wb", buffering=_PIECE) as output:
                made = gzip_stream(inflated(read, compression), output.write)
        if made.plain_digest != diff_id:
            raise self._content.mark_damaged(layer.digest)
        self._progress.report(layer.digest, "Compressed")
        self._lease.blob(made.digest)
        self._content.adopt(place, made.digest)
        return Descriptor(media_type=layer_media_type("gzip"), digest=made.digest, size=made.size)
