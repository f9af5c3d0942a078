"""``POST /commit``: makes an image of a container; its changes become a layer."""

import time
from contextlib import nullcontext

from palan.api.errors import Conflict, InternalError
from palan.api.images import ImageCommit
from palan.engine.images.archive_images import put_blob, put_manifest
from palan.engine.images.catalog import Catalog, Lease, Report
from palan.engine.images.describe import rfc3339
from palan.engine.images.formats import (
    MAX_LAYERS,
    Descriptor,
    HistoryEntry,
    ImageSpec,
    RootFS,
    encode,
    layer_media_type,
)
from palan.engine.images.image import Image
from palan.engine.images.ingest import add_image, compression_of, examine
from palan.engine.images.layer_stream import NewLayer, copy_layer
from palan.engine.images.layers import Unpacker
from palan.engine.images.reference import Reference, repository_and_tag
from palan.engine.images.surroundings import CommitSource


__all__ = ["Commit", "pinned_layers"]


class Commit:
    """A commit; its request is checked before any work.

    Attributes:
        name: the name of the image; None for an image without a name.
    """

    def __init__(self, request: ImageCommit, container: CommitSource) -> None:
        """Check the request.

        Raises:
            InvalidParameter: a change is malformed.
            Conflict: the container is being removed.
        """
        container.check()
        self.name: Reference | None = repository_and_tag(request.repo, request.tag)
        self._request = request
        self._container = container
        self.config = container.committed_config(request.body, request.changes)

    async def run(self, catalog: Catalog, unpacker: Unpacker, report: Report) -> Image:
        """Make the image.

        Args:
            catalog: gets the image.
            unpacker: makes the layer.
            report: see :func:`~palan.engine.images.ingest.add_image`.

        Raises:
            Conflict: the container is removed meanwhile, or has too many layers.
            InternalError: its files cannot be read, or there is no room for the image.
        """
        container = self._container
        with catalog.lease() as lease, unpacker.scratch() as directory:
            parent = catalog.images.get(container.image)
            if parent is None:
                raise InternalError(
                    f"cannot commit container {container.id}: its image {container.image} is gone"
                )
            # Pinned before anything is awaited, so that they cannot be removed.
            layers = pinned_layers(catalog, parent, lease)
            lower = parent.spec.rootfs.diff_ids
            if len(lower) >= MAX_LAYERS:
                raise Conflict(f"max depth exceeded: an image has at most {MAX_LAYERS} layers")
            pause = container.frozen() if self._request.pause else nullcontext()
            async with pause:
                made = await copy_layer(
                    catalog, unpacker, container.upper, directory, lease, lower=lower
                )
            # If it was removed meanwhile, the layer may be incomplete.
            container.check()
            data = encode(self._spec(parent.spec, made))
            if not made.empty:
                layers.append(made.descriptor)
            config = put_blob(catalog.content, data, lease)
            manifest = put_manifest(catalog.content, config, len(data), layers, lease)
            return await add_image(
                catalog,
                unpacker,
                examine(catalog.content, manifest),
                [self.name] if self.name else [],
                lease,
                parent=parent.id,
                report=report,
            )

    def _spec(self, parent: ImageSpec, made: NewLayer) -> ImageSpec:
        now = rfc3339(time.time_ns())
        step = HistoryEntry(
            created=now,
            created_by=" ".join(self._container.command),
            author=self._request.author,
            comment=self._request.comment,
            empty_layer=made.empty,
        )
        own = [] if made.empty else [made.diff_id]
        return ImageSpec(
            created=now,
            author=self._request.author,
            architecture=parent.architecture,
            variant=parent.variant,
            os=parent.os,
            os_version=parent.os_version,
            config=self.config,
            rootfs=RootFS(diff_ids=[*parent.rootfs.diff_ids, *own]),
            history=[*parent.history, step],
        )


def pinned_layers(catalog: Catalog, image: Image, lease: Lease) -> list[Descriptor]:
    """Pin an image's layers and their blobs, and return the blobs.

    Raises:
        InternalError: a blob is missing.
    """
    for chain_id in image.record.layers:
        lease.layer(chain_id)
    lease.blob(image.id)
    record = catalog.content_of(image)
    layers = []
    for blob in record.blobs[1:] if record else ():  # the first is the configuration
        lease.blob(blob.digest)
        try:
            media_type = layer_media_type(compression_of(catalog.content, blob.digest))
        except FileNotFoundError:
            raise InternalError(f"content digest {blob.digest}: not found") from None
        layers.append(Descriptor(media_type=media_type, digest=blob.digest, size=blob.size))
    if len(layers) != len(image.spec.rootfs.diff_ids):
        raise InternalError(f"image {image.id} is damaged: its layers are not all here")
    return layers
