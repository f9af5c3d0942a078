"""Making images of content, for load, import, commit and pull.

It begins with blobs in the content store.  A target (manifest or index) is examined, the
layers of its images are unpacked, then rows are committed; from then on the images exist.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from palan.api.errors import InvalidParameter
from palan.engine.images.catalog import Catalog, Lease, Report
from palan.engine.images.formats import (
    MAX_DEPTH,
    MAX_DOCUMENT,
    MAX_LAYERS,
    OCI_MANIFEST,
    Descriptor,
    ImageSpec,
    Index,
    Manifest,
    chain_ids,
    decode,
    is_index,
)
from palan.engine.images.image import Image
from palan.engine.images.layers import LayerSource, LayerSupply, Unpacker
from palan.engine.images.reference import Reference, is_digest
from palan.host.archive.inflate import Compression, detect
from palan.store.content import Content
from palan.store.images import (
    Blob,
    ImageRecord,
    LayerRecord,
    ManifestRecord,
    NameRecord,
    Rows,
    TargetRecord,
)


__all__ = ["Documents", "Examined", "NoImage", "add_image", "compression_of", "examine"]

_MAX_MANIFESTS: Final = 1000
_MAX_PARTS: Final = 5000
"""The number of blobs of a manifest; an image has at most 498 layers."""

_MAX_DOCUMENTS: Final = 256 << 20
"""Bytes of all documents to decode: an index can name a large one many times."""
_IMAGE_CONFIGS: Final = (
    "",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
)
_LAYER_MARKS: Final = ("layer", "rootfs", "tar", "octet-stream")
"""Parts of the media types of layers that those of statements, charts and others lack."""


@dataclass(slots=True)
class Examined:
    """The content of a target.

    Attributes:
        target: the target's row.
        layers: the layers of each of its images, by the image's id.
    """

    target: TargetRecord
    layers: dict[str, list[LayerSource]] = field(default_factory=dict)

    def blobs(self) -> Iterable[str]:
        """Return the digests of all its content that is here."""
        yield self.target.digest
        for manifest in self.target.manifests:
            if manifest.here:
                yield manifest.digest
                yield from (blob.digest for blob in manifest.blobs)


class Documents:
    """Reads documents of the store, and limits their total size.

    Attributes:
        left: the bytes that may still be read.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.left = _MAX_DOCUMENTS

    def read(self, descriptor: Descriptor, what: str) -> bytes:
        """Return a document.

        Raises:
            InvalidParameter: it is absent, or not what its descriptor says, or too large.
        """
        data = _document(self.content, descriptor, what)
        self.charge(len(data))
        return data

    def charge(self, size: int) -> None:
        """Account for the size of a document that is decoded."""
        self.left -= size
        if self.left < 0:
            raise InvalidParameter(
                f"the manifests and configurations exceed {_MAX_DOCUMENTS} bytes"
            )


def _document(content: Content, descriptor: Descriptor, what: str) -> bytes:
    if not is_digest(descriptor.digest):
        raise InvalidParameter(f"invalid {what}: {descriptor.digest!r} is not a sha256 digest")
    try:
        size = content.size(descriptor.digest)
    except FileNotFoundError:
        raise InvalidParameter(f"content digest {descriptor.digest}: not found") from None
    if size > MAX_DOCUMENT:
        raise InvalidParameter(f"{what} {descriptor.digest} is larger than {MAX_DOCUMENT} bytes")
    if descriptor.size != size:
        raise InvalidParameter(
            f"{what} {descriptor.digest} has {size} bytes, its descriptor says {descriptor.size}"
        )
    return content.read(descriptor.digest)


def compression_of(content: Content, digest: str) -> Compression:
    """Return the compression of a blob, by its first bytes: media types may be wrong."""
    with content.path(digest).open("rb") as blob:
        return detect(blob.read(6))


class NoImage(InvalidParameter):
    """A manifest of something other than an image, such as statements about one."""


def examine(
    content: Content, descriptor: Descriptor, documents: Documents | None = None
) -> Examined:
    """Return the content of a manifest or an index.

    Args:
        content: the store.
        descriptor: the manifest or index.
        documents: reads documents of the store, for several calls; None for this one only.

    Raises:
        InvalidParameter: it is damaged, or the content of all its images is missing.
        NoImage: it has no image at all.
    """
    documents = documents or Documents(content)
    data = documents.read(descriptor, "manifest")
    record = TargetRecord(
        descriptor.digest, descriptor.media_type, descriptor.size, [], descriptor.annotations
    )
    examined = Examined(record)
    if not is_index(descriptor.media_type, data):
        record.media_type = descriptor.media_type or OCI_MANIFEST
        # An index has no platform, even if an archive names one.
        _examine_manifest(documents, replace(descriptor, platform=None), data, examined)
    else:
        index = decode(data, Index, "index")
        record.media_type = descriptor.media_type or index.media_type
        _examine_index(documents, index, examined)
    if not examined.layers:
        absent = any(manifest.kind == "image" for manifest in record.manifests)
        kind = InvalidParameter if absent else NoImage
        raise kind(f"{descriptor.digest} has no image whose content is here")
    return examined


def _examine_index(documents: Documents, index: Index, examined: Examined, depth: int = 0) -> None:
    content = documents.content
    manifests = examined.target.manifests
    if len(manifests) + len(index.manifests) > _MAX_MANIFESTS or depth > MAX_DEPTH:
        raise InvalidParameter(f"index {examined.target.digest} has too many manifests")
    for part in index.manifests:
        if not is_digest(part.digest) or not content.has(part.digest):
            manifests.append(_absent(part))
            continue
        data = documents.read(part, "manifest")
        if is_index(part.media_type, data):
            _examine_index(documents, decode(data, Index, "index"), examined, depth + 1)
            # After its manifests, which a registry requires first.
            manifests.append(replace(_absent(part), kind="index"))
        else:
            _examine_manifest(documents, part, data, examined)


def _absent(descriptor: Descriptor) -> ManifestRecord:
    platform = descriptor.as_platform()
    subject = descriptor.annotations.get("vnd.docker.reference.digest", "")
    return ManifestRecord(
        descriptor.digest,
        descriptor.media_type,
        descriptor.size,
        "attestation" if subject else "image",
        (platform.os, platform.architecture, platform.variant) if platform else ("", "", ""),
        subject=subject,
        annotations=descriptor.annotations,
        platform_in_index=platform is not None,
    )


def _examine_manifest(
    documents: Documents, descriptor: Descriptor, data: bytes, examined: Examined
) -> None:
    content = documents.content
    record = _absent(descriptor)
    examined.target.manifests.append(record)
    manifest = decode(data, Manifest, "manifest")
    record.media_type = descriptor.media_type or manifest.media_type
    parts = [manifest.config, *manifest.layers]
    if len(parts) > _MAX_PARTS:
        raise InvalidParameter(f"invalid manifest {descriptor.digest}: it has too many layers")
    if not all(is_digest(part.digest) for part in parts):
        raise InvalidParameter(f"invalid manifest {descriptor.digest}: not all digests are sha256")
    present = [part for part in parts if content.has(part.digest)]
    record.blobs = [Blob(part.digest, content.size(part.digest)) for part in present]
    if record.kind != "image" or not _is_image(manifest):
        record.kind = record.kind if record.subject else "unknown"
        return
    if len(present) < len(parts):
        return
    spec = decode(
        documents.read(manifest.config, "image configuration"), ImageSpec, "image configuration"
    )
    diff_ids = spec.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise InvalidParameter(
            f"invalid manifest {descriptor.digest}: it has {len(manifest.layers)} layers,"
            f" its configuration has {len(diff_ids)}"
        )
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidParameter(f"image {manifest.config.digest} has more than {MAX_LAYERS} layers")
    platform = descriptor.as_platform() or spec.platform
    record.image = manifest.config.digest
    record.platform = (platform.os, platform.architecture, platform.variant)
    examined.layers[record.image] = [
        LayerSource(layer.digest, diff_id, chain_id, compression_of(content, layer.digest))
        for layer, diff_id, chain_id in zip(
            manifest.layers, diff_ids, chain_ids(diff_ids), strict=True
        )
    ]


def _is_image(manifest: Manifest) -> bool:
    """Whether a manifest is one of an image and not of another kind of artifact."""
    kinds = [layer.media_type for layer in manifest.layers]
    unpacks = not kinds or any(
        not kind or any(mark in kind for mark in _LAYER_MARKS) for kind in kinds
    )
    return unpacks and manifest.config.media_type in _IMAGE_CONFIGS


async def add_image(
    catalog: Catalog,
    unpacker: Unpacker,
    examined: Examined,
    names: Sequence[Reference],
    lease: Lease,
    *,
    parent: str = "",
    pulled: str = "",
    supply: LayerSupply | None = None,
    report: Report,
) -> Image:
    """Unpack the layers of an examined target, and commit it under its names.

    Args:
        catalog: gets the images.
        unpacker: makes the layers.
        examined: the target.
        names: tagged references that will point at it.
        lease: has pinned the target's blobs.
        parent: the id of the image that it was made from; empty if unknown.
        pulled: the repository that it was pulled from; empty if it was not pulled.
        supply: unpacks the layers; None for the unpacker itself.
        report: called with the image just before the commit; events that it publishes are part
            of the commit.

    Returns:
        The image that the target means on this machine.
    """
    layers: dict[str, LayerRecord] = {}
    records: list[ImageRecord] = []
    for image_id, sources in examined.layers.items():
        for layer in await unpacker.ensure(sources, lease, supply):
            layers[layer.chain_id] = layer
        records.append(ImageRecord(image_id, [source.chain_id for source in sources], parent))
    now = time.time_ns()
    async with catalog.lock:
        for record in records:
            known = catalog.images.get(record.id)
            if known is not None:
                record.parent = record.parent or known.record.parent
                record.step = known.record.step
                record.pulled = list(known.record.pulled)
            if pulled and pulled not in record.pulled:
                record.pulled.append(pulled)
        await catalog.add(
            Rows(
                [NameRecord(str(name), examined.target.digest, now) for name in names],
                [_merged(catalog, examined.target)],
                records,
                list(layers.values()),
            ),
            report,
        )
    image = catalog.primary(catalog.targets[examined.target.digest])
    if image is None:
        raise InvalidParameter(f"{examined.target.digest} has no image")
    return image


def _merged(catalog: Catalog, target: TargetRecord) -> TargetRecord:
    """Return a target merged with its row: an index may arrive again with fewer images."""
    known = catalog.targets.get(target.digest)
    if known is None:
        return target
    before = {manifest.digest: manifest for manifest in known.manifests}
    target.manifests = [
        before[manifest.digest]
        if not manifest.image and manifest.digest in before and before[manifest.digest].here
        else manifest
        for manifest in target.manifests
    ]
    # A nested index may have been here with its manifests, and be absent this time.
    seen = {manifest.digest for manifest in target.manifests}
    target.manifests += [each for each in known.manifests if each.digest not in seen]
    return target
