"""Making the image of a step, from its parent, perhaps a layer, and a configuration."""

import contextlib
import time
from dataclasses import dataclass

from palan.api.errors import Conflict
from palan.api.images import ImageConfig
from palan.engine.images.archive_images import put_blob, put_manifest
from palan.engine.images.catalog import Lease, Report
from palan.engine.images.commit import pinned_layers
from palan.engine.images.context import ImageContext
from palan.engine.images.describe import rfc3339
from palan.engine.images.formats import (
    MAX_LAYERS,
    Descriptor,
    HistoryEntry,
    ImageSpec,
    Manifest,
    RootFS,
    chain_ids,
    decode,
    encode,
)
from palan.engine.images.image import Image
from palan.engine.images.layer_stream import NewLayer
from palan.engine.images.platform import Platform
from palan.engine.threads import in_thread
from palan.store.images import Blob, ImageRecord, ManifestRecord, Rows, TargetRecord


__all__ = ["Base", "Step", "base_of", "make_image"]


@dataclass(frozen=True, slots=True)
class Base:
    """The image that the next step of a stage is based on.

    Attributes:
        platform: the image's platform.
        image: None for ``scratch``.
        layers: the blobs of its layers, the lowest first.
    """

    platform: Platform
    image: Image | None = None
    layers: tuple[Descriptor, ...] = ()

    @property
    def id(self) -> str:
        """The image's id, empty for ``scratch``."""
        return self.image.id if self.image else ""

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers' uncompressed archives; not to be changed."""
        return self.image.spec.rootfs.diff_ids if self.image else []


@dataclass(frozen=True, slots=True)
class Step:
    """A step, and its result.

    Attributes:
        key: its key in the cache.
        created_by: its command, as the image's history shows it.
        config: the configuration after it.
        author: the maintainer of the image.
        layer: the files that it changed; None if it changes no files.
        entry: its entry of the history, if it was executed before.
    """

    key: str
    created_by: str
    config: ImageConfig
    author: str = ""
    layer: NewLayer | None = None
    entry: HistoryEntry | None = None


def base_of(images: ImageContext, image: Image, lease: Lease) -> Base:
    """Return an image to base a step on, and keep its content.

    Raises:
        InternalError: some content is missing.
    """
    catalog = images.catalog
    record = catalog.content_of(image)
    if record is not None and image.record.step:
        # Made by a build: its manifest has all digests, and is short.
        for chain_id in image.record.layers:
            lease.layer(chain_id)
        for blob in record.blobs:
            lease.blob(blob.digest)
        with contextlib.suppress(FileNotFoundError):
            manifest = decode(catalog.content.read(record.digest), Manifest, "manifest")
            return Base(image.platform, image, tuple(manifest.layers))
    return Base(image.platform, image, tuple(pinned_layers(catalog, image, lease)))


async def make_image(
    images: ImageContext, base: Base, step: Step, lease: Lease, report: Report
) -> Base:
    """Make the image of a step; on return it is committed, with the events of ``report``.

    Raises:
        Conflict: it would have too many layers.
    """
    added = bool(_own(step))
    if added and len(base.layers) >= MAX_LAYERS:
        raise Conflict(f"max depth exceeded: an image has at most {MAX_LAYERS} layers")
    data = encode(_spec(base, step))
    layers = list(base.layers)
    if step.layer is not None and not step.layer.empty:
        layers.append(step.layer.descriptor)
    content = images.catalog.content

    def write() -> tuple[str, Descriptor]:
        config = put_blob(content, data, lease)
        return config, put_manifest(content, config, len(data), layers, lease)

    image_id, manifest = await in_thread(write)
    blobs = [Blob(image_id, len(data)), *(Blob(each.digest, each.size) for each in layers)]
    # The rows follow from what is known already: nothing is read again.
    chain = chain_ids([*base.diff_ids, *_own(step)])
    fresh = [images.catalog.layers[chain[-1]]] if added else []
    record = ImageRecord(image_id, chain, base.id, step.key)
    rows = Rows(targets=[_target(base, manifest, blobs)], images=[record], layers=fresh)
    async with images.catalog.lock:
        await images.catalog.add(rows, report)
        return Base(base.platform, images.catalog.images[image_id], tuple(layers))


def _own(step: Step) -> list[str]:
    """Return the diff id of the layer that a step adds, in a list that may be empty."""
    return [] if step.layer is None or step.layer.empty else [step.layer.diff_id]


def _target(base: Base, manifest: Descriptor, blobs: list[Blob]) -> TargetRecord:
    platform = (base.platform.os, base.platform.architecture, base.platform.variant)
    record = ManifestRecord(
        manifest.digest,
        manifest.media_type,
        manifest.size,
        "image",
        platform,
        blobs[0].digest,
        blobs,
    )
    return TargetRecord(manifest.digest, manifest.media_type, manifest.size, [record])


def _spec(base: Base, step: Step) -> ImageSpec:
    parent = base.image.spec if base.image else None
    entry = step.entry or HistoryEntry(
        created=rfc3339(time.time_ns()),
        created_by=step.created_by,
        author=step.author,
        empty_layer=not _own(step),
    )
    return ImageSpec(
        created=entry.created,
        author=step.author,
        architecture=base.platform.architecture,
        variant=parent.variant if parent else base.platform.variant,
        os=base.platform.os,
        os_version=parent.os_version if parent else "",
        config=step.config,
        rootfs=RootFS(diff_ids=[*base.diff_ids, *_own(step)]),
        history=[*(parent.history if parent else ()), entry],
    )
