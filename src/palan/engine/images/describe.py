"""Images as the API shows them: in lists, in detail, and their history."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from palan.api import UNSET
from palan.api.images import (
    Identity,
    ImageAttestationData,
    ImageData,
    ImageDataSize,
    ImageHistoryResponseItem,
    ImageInspectResponse,
    ImageManifestSize,
    ImageManifestSummary,
    ImageMetadata,
    ImageRootFS,
    ImageSummary,
    OCIDescriptor,
    OCIPlatform,
    PullIdentity,
)
from palan.engine.images.catalog import Catalog
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform
from palan.engine.images.reference import parse
from palan.engine.images.surroundings import ImageContainers
from palan.store.images import ManifestRecord, NameRecord, TargetRecord


__all__ = [
    "blobs_of",
    "content_size",
    "created_nanoseconds",
    "created_seconds",
    "descriptor",
    "familiar",
    "history",
    "inspect",
    "layers_of",
    "manifest_descriptor",
    "manifests",
    "rfc3339",
    "shared_size",
    "summary",
    "total_bytes",
    "total_size",
]

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?", re.IGNORECASE
)


def rfc3339(nanoseconds: int) -> str:
    """Return a time as Go writes it: in UTC, without trailing zeros."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0").rstrip(".") + "Z"


def created_seconds(text: str) -> int:
    """Return the Unix seconds of a time in a document; 0 if it is absent."""
    return created_nanoseconds(text) // 10**9


def created_nanoseconds(text: str) -> int:
    """Return nanoseconds since the epoch of a time in a document; 0 if it is absent."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    zone = (match[3] or "Z").upper()
    try:
        moment = datetime.fromisoformat(match[1] + ("+00:00" if zone == "Z" else zone))
    except ValueError:
        return 0
    return int(moment.timestamp()) * 10**9 + int((match[2] or "").ljust(9, "0"))


def familiar(name: NameRecord) -> str:
    """Return a stored name as users write it."""
    return parse(name.name).familiar


# ---- sizes -------------------------------------------------------------------


def blobs_of(targets: Iterable[TargetRecord]) -> dict[str, int]:
    """Return the blobs of targets with their sizes."""
    sizes: dict[str, int] = {}
    for target in targets:
        sizes[target.digest] = target.size
        for manifest in target.manifests:
            if manifest.here:
                sizes[manifest.digest] = manifest.size
                sizes.update((blob.digest, blob.size) for blob in manifest.blobs)
    return sizes


def layers_of(catalog: Catalog, targets: Iterable[TargetRecord]) -> dict[str, int]:
    """Return the unpacked layers of targets with their sizes."""
    return {
        chain_id: catalog.layers[chain_id].size
        for target in targets
        for image in catalog.images_of(target)
        for chain_id in image.record.layers
    }


def content_size(catalog: Catalog, image: Image) -> int:
    """Return the bytes of an image's blobs."""
    return sum(blobs_of(catalog.represented(image)).values())


def total_size(catalog: Catalog, image: Image) -> int:
    """Return the bytes of an image's blobs and unpacked layers."""
    targets = catalog.represented(image)
    return sum(blobs_of(targets).values()) + sum(layers_of(catalog, targets).values())


def shared_size(catalog: Catalog, image: Image) -> int:
    """Return the bytes of blobs and unpacked layers that an image shares with others."""
    targets = catalog.represented(image)
    own = {each.id: each for target in targets for each in catalog.images_of(target)}
    layers = Counter(chain_id for each in own.values() for chain_id in each.record.layers)
    blobs = Counter(digest for target in targets for digest in blobs_of([target]))
    blobs.update(own.keys())  # configurations, to which images refer, too
    return sum(
        size
        for chain_id, size in layers_of(catalog, targets).items()
        if catalog.wanted_layer(chain_id) > layers[chain_id]
    ) + sum(
        size for digest, size in blobs_of(targets).items() if catalog.wanted(digest) > blobs[digest]
    )


def total_bytes(catalog: Catalog) -> int:
    """Return the bytes of all images together."""
    blobs = sum(blobs_of(catalog.targets.values()).values())
    return blobs + sum(layer.size for layer in catalog.layers.values())


# ---- parts -------------------------------------------------------------------


def descriptor(target: TargetRecord) -> OCIDescriptor:
    """Return the descriptor of a target, from which all content of an image is found."""
    return OCIDescriptor(
        media_type=target.media_type,
        digest=target.digest,
        size=target.size,
        annotations=target.annotations or UNSET,
    )


def manifest_descriptor(catalog: Catalog, image: Image) -> OCIDescriptor | None:
    """Return the descriptor of exactly this image's manifest, with its platform."""
    found = catalog.manifest_of(image)
    if found is None:
        return None
    answer = _described(found[1])
    answer.platform = image.platform.message()
    return answer


def _described(manifest: ManifestRecord) -> OCIDescriptor:
    """Return the descriptor of a manifest in its index."""
    return OCIDescriptor(
        media_type=manifest.media_type,
        digest=manifest.digest,
        size=manifest.size,
        annotations=manifest.annotations or UNSET,
        platform=Platform(*manifest.platform).message() if manifest.platform_in_index else UNSET,
    )


def manifests(
    containers: ImageContainers, catalog: Catalog, image: Image, *, identity: bool = False
) -> list[ImageManifestSummary]:
    """Return all manifests that came with an image."""
    return [
        _manifest(containers, catalog, manifest, identity=identity)
        for target in catalog.represented(image)
        for manifest in target.manifests
        if manifest.kind != "index"
    ]


def _manifest(
    containers: ImageContainers, catalog: Catalog, record: ManifestRecord, *, identity: bool
) -> ImageManifestSummary:
    content = sum(blob.size for blob in record.blobs) + (record.size if record.blobs else 0)
    image = catalog.images.get(record.image)
    unpacked = image.unpacked if image else 0
    answer = ImageManifestSummary(
        id=record.digest,
        descriptor=_described(record),
        available=image is not None or (record.kind != "image" and bool(record.blobs)),
        size=ImageManifestSize(content=content, total=content + unpacked),
        kind=record.kind,
    )
    if record.kind == "image":
        platform = Platform(*record.platform)
        users = [user.id for user in containers.using_image(image.id)] if image else []
        answer.image_data = ImageData(
            platform=platform.message() if platform.os else OCIPlatform(),
            size=ImageDataSize(unpacked=unpacked),
            containers=users or None,
            identity=(_identity(image) if identity and image else None) or UNSET,
        )
    elif record.kind == "attestation":
        answer.attestation_data = ImageAttestationData(for_=record.subject)
    return answer


def _identity(image: Image) -> Identity | None:
    if not image.record.pulled:
        return None
    return Identity(pull=[PullIdentity(repository=name) for name in image.record.pulled])


def _tags(names: Iterable[NameRecord]) -> list[str]:
    """Return the names with tags; an image pulled by digest has a name without."""
    return [familiar(name) for name in names if "@" not in name.name]


def _digests(names: Iterable[NameRecord]) -> list[str]:
    return sorted({f"{parse(name.name).familiar_repository}@{name.target}" for name in names})


# ---- answers -----------------------------------------------------------------


def summary(
    containers: ImageContainers, catalog: Catalog, image: Image, names: list[NameRecord]
) -> ImageSummary:
    """Return an image as a list shows it, with the names that the filters select."""
    targets = catalog.represented(image)
    return ImageSummary(
        id=image.id,
        containers=len(
            {user.id for each in catalog.family(image) for user in containers.using_image(each.id)}
        ),
        created=created_seconds(image.spec.created),
        labels=dict(image.labels),
        parent_id=image.record.parent,
        descriptor=descriptor(targets[0]) if targets else UNSET,
        repo_digests=_digests(names),
        repo_tags=_tags(names),
        size=total_size(catalog, image),
    )


def inspect(
    catalog: Catalog, image: Image, chosen: TargetRecord | None = None
) -> ImageInspectResponse:
    """Return an image as ``docker inspect`` shows it.

    Args:
        catalog: all images.
        image: the image.
        chosen: the target in which it was found by its platform.
    """
    spec = image.spec
    targets = [chosen] if chosen else catalog.represented(image) or catalog.targets_of(image)
    names = catalog.names_to(targets)
    found = [(target, m) for target in targets for m in target.manifests if m.image == image.id]
    comment = spec.comment or (spec.history[-1].comment if spec.history else "")
    answer = ImageInspectResponse(
        id=image.id,
        repo_tags=_tags(names),
        repo_digests=_digests(names),
        parent=image.record.parent or UNSET,
        comment=comment or UNSET,
        created=spec.created or UNSET,
        author=spec.author or UNSET,
        config=image.config,
        architecture=spec.architecture,
        variant=spec.variant or UNSET,
        os=spec.os,
        os_version=spec.os_version or UNSET,
        size=_transferred(*found[0]) if found else 0,
        root_fs=ImageRootFS(layers=spec.rootfs.diff_ids),
        descriptor=descriptor(targets[0]) if targets else UNSET,
        identity=_identity(image) or UNSET,
    )
    if chosen and found:
        answer.descriptor = _described(found[0][1])
    if names:
        answer.metadata = ImageMetadata(last_tag_time=rfc3339(max(name.tagged for name in names)))
    return answer


def _transferred(target: TargetRecord, manifest: ManifestRecord) -> int:
    """Return the bytes of an image in a registry, its index included."""
    sizes = {blob.digest: blob.size for blob in manifest.blobs}
    return sum((sizes | {manifest.digest: manifest.size, target.digest: target.size}).values())


def history(catalog: Catalog, image: Image, chosen: TargetRecord) -> list[ImageHistoryResponseItem]:
    """Return the steps that made an image, the last first.

    Args:
        catalog: all images.
        image: the image.
        chosen: the target in which it was found.
    """
    sizes = [catalog.layers[chain_id].size for chain_id in image.record.layers]
    items: list[ImageHistoryResponseItem] = []
    used = 0
    for entry in image.spec.history:
        item = ImageHistoryResponseItem(
            comment=entry.comment,
            created=created_seconds(entry.created),
            created_by=entry.created_by,
        )
        if not entry.empty_layer and used < len(sizes):
            item.size = sizes[used]
            used += 1
        items.append(item)
    # Layers without a step are shown as well.
    items += [ImageHistoryResponseItem(size=size) for size in sizes[used:]]
    items.reverse()
    step: Image | None = image
    while step is not None:
        position = len(image.spec.history) - len(step.spec.history)
        if not 0 <= position < len(items) or items[position].id != "<missing>":
            break
        items[position].id = step.id
        names = catalog.names_of(step) or (catalog.names_to([chosen]) if step is image else [])
        items[position].tags = _tags(names) or None
        step = catalog.images.get(step.record.parent)
    return items
