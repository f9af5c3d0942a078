"""A step of a build becomes an image: its parent, perhaps a layer, and a configuration."""

import contextlib
import time
from dataclasses import dataclass

from palan.api.errors import Conflict
from palan.api.images import ImageConfig
from palan.engine.images.catalog import Lease
from palan.engine.images.commit import pinned_layers
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
from palan.engine.images.load import put_blob, put_manifest
from palan.engine.images.platform import Platform
from palan.engine.images.stock import Stock
from palan.engine.threads import in_thread
from palan.store.images import Blob, ImageRecord, ManifestRecord, Rows, TargetRecord


__all__ = ["Base", "Step", "base_of", "make_image"]


@dataclass(frozen=True, slots=True)
class Base:
    """What the next step of a stage begins with.

    Attributes:
        platform: what the image is for.
        image: None for ``scratch``.
        layers: the blobs of its layers, the lowest first.
    """

    platform: Platform
    image: Image | None = None
    layers: tuple[Descriptor, ...] = ()

    @property
    def id(self) -> str:
        """The image's id, "" for ``scratch``."""
        return self.image.id if self.image else ""

    @property
    def diff_ids(self) -> list[str]:
        """The layers by the digests of their archives; not to be changed."""
        return self.image.spec.rootfs.diff_ids if self.image else []


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did.

    Attributes:
        key: what the cache knows it by.
        told: it, as the history tells it.
        config: the configuration after it.
        author: who maintains the image.
        layer: what it changed of the files, if anything.
        entry: its entry of the history, if it was done before.
    """

    key: str
    told: str
    config: ImageConfig
    author: str = ""
    layer: NewLayer | None = None
    entry: HistoryEntry | None = None


def base_of(stock: Stock, image: Image, lease: Lease) -> Base:
    """An image to begin with, whose content is kept from now on.

    Raises:
        InternalError: it is not all here.
    """
    catalog = stock.catalog
    record = catalog.content_of(image)
    if record is not None and image.record.step:
        # Made by a build: its manifest says all, and is short.
        for chain_id in image.record.layers:
            lease.layer(chain_id)
        for blob in record.blobs:
            lease.blob(blob.digest)
        with contextlib.suppress(FileNotFoundError):
            manifest = decode(catalog.content.read(record.digest), Manifest, "manifest")
            return Base(image.platform, image, tuple(manifest.layers))
    return Base(image.platform, image, tuple(pinned_layers(catalog, image, lease)))


async def make_image(stock: Stock, base: Base, step: Step, lease: Lease) -> Base:
    """Make the image; on return it is committed.

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
    content = stock.catalog.content

    def write() -> tuple[str, Descriptor]:
        config = put_blob(content, data, lease)
        return config, put_manifest(content, config, len(data), layers, lease)

    image_id, manifest = await in_thread(write)
    blobs = [Blob(image_id, len(data)), *(Blob(each.digest, each.size) for each in layers)]
    # Nothing need be read again to know the rows.
    chain = chain_ids([*base.diff_ids, *_own(step)])
    fresh = [stock.catalog.layers[chain[-1]]] if added else []
    record = ImageRecord(image_id, chain, base.id, step.key)
    rows = Rows(targets=[_target(base, manifest, blobs)], images=[record], layers=fresh)
    async with stock.catalog.lock:
        await stock.catalog.add(rows)
        return Base(base.platform, stock.catalog.images[image_id], tuple(layers))


def _own(step: Step) -> list[str]:
    """The layer that a step adds, if any."""
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
        created_by=step.told,
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
