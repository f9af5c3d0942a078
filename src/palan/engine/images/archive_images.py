"""The images of an archive, for ``POST /images/load``.

An archive may have two forms, and both at once: an OCI image layout (``oci-layout``,
``index.json``, ``blobs/``), and that of ``docker save`` (``manifest.json`` beside
configurations and layers).  All digests in the archive are verified.
"""

import contextlib
from collections.abc import Iterable
from typing import Final

import msgspec

from palan.api.errors import InvalidParameter
from palan.engine.images.catalog import Lease
from palan.engine.images.formats import (
    MAX_LAYERS,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    ImageSpec,
    Index,
    Manifest,
    decode,
    digest_of,
    encode,
    layer_media_type,
)
from palan.engine.images.ingest import Documents, Examined, NoImage, compression_of, examine
from palan.engine.images.receive import Member, Members
from palan.engine.images.reference import Reference, parse
from palan.store.content import Content


__all__ = ["NAME_ANNOTATION", "REF_ANNOTATION", "Found", "find_images", "put_blob", "put_manifest"]

NAME_ANNOTATION: Final = "io.containerd.image.name"
REF_ANNOTATION: Final = "org.opencontainers.image.ref.name"
_MAX_IMAGES: Final = 1000
_LAYOUT_VERSION: Final = "1.0.0"


class _DockerItem(msgspec.Struct, rename="pascal"):
    """An image in ``manifest.json``."""

    config: str
    repo_tags: list[str] = []
    layers: list[str] = []


class _Layout(msgspec.Struct):
    """``oci-layout``."""

    version: str = msgspec.field(name="imageLayoutVersion", default="")


class Found(msgspec.Struct):
    """An image of the archive, with its names in the archive."""

    examined: Examined
    names: list[Reference]


def find_images(content: Content, members: Members, lease: Lease) -> list[Found]:
    """Put the content of an archive's images into the store, and return them.  Blocking.

    Args:
        content: the store.
        members: the archive.
        lease: pins the content.

    Raises:
        InvalidParameter: the archive has no known form, or a digest is wrong.
    """
    docker = _docker_items(members) if "manifest.json" in members else []
    if "oci-layout" in members and "index.json" in members:
        _check_layout(members)
        return _layout_images(content, members, docker, lease)
    if "manifest.json" in members:
        documents = Documents(content)
        return [_docker_image(documents, members, item, lease) for item in docker]
    raise InvalidParameter("unrecognized image format")


def _docker_items(members: Members) -> list[_DockerItem]:
    items = decode(members.read("manifest.json"), list[_DockerItem], "manifest.json")
    if len(items) > _MAX_IMAGES:
        raise InvalidParameter(f"invalid manifest.json: more than {_MAX_IMAGES} images")
    return items


# ---- OCI image layout --------------------------------------------------------


def _check_layout(members: Members) -> None:
    layout = decode(members.read("oci-layout"), _Layout, "oci-layout")
    if not layout.version:
        raise InvalidParameter("unrecognized image format")
    if layout.version != _LAYOUT_VERSION:
        raise InvalidParameter(f"unsupported OCI version {layout.version}")


def _layout_images(
    content: Content, members: Members, docker: list[_DockerItem], lease: Lease
) -> list[Found]:
    index = decode(members.read("index.json"), Index, "index.json")
    if len(index.manifests) > _MAX_IMAGES:
        raise InvalidParameter(f"invalid index.json: more than {_MAX_IMAGES} images")
    for digest, member in members.blobs().items():
        if member.digest != digest:
            raise InvalidParameter(
                f"invalid archive: the blob {digest} has the digest {member.digest}"
            )
        _adopt(content, member, lease)
    tags = {_config_digest(item, members): item.repo_tags for item in docker}
    # The same target may be listed once for each of its names.
    names: dict[str, list[Reference]] = {}
    descriptors: dict[str, Descriptor] = {}
    for descriptor in index.manifests:
        descriptors.setdefault(descriptor.digest, descriptor)
        name = _annotated_name(descriptor)
        if name is not None:
            names.setdefault(descriptor.digest, []).append(name)
    images = []
    documents = Documents(content)
    nothing = InvalidParameter("the archive has no images")
    for digest, descriptor in descriptors.items():
        try:
            examined = examine(content, descriptor, documents)
        except NoImage as error:
            # Another artifact, such as the attestations that dockerd saves with an image.
            nothing = error
            continue
        found = names.get(digest)
        if found is None:
            given = [tag for image_id in examined.layers for tag in tags.get(image_id, ())]
            found = _names(given)
        images.append(Found(examined, list(dict.fromkeys(found))))
    if not images:
        raise nothing
    return images


def _config_digest(item: _DockerItem, members: Members) -> str:
    member = members.find(item.config)
    return member.digest if member else ""


def _annotated_name(descriptor: Descriptor) -> Reference | None:
    """Return the full name of an image in ``index.json``; None if it has only a tag or no name."""
    text = descriptor.annotations.get(NAME_ANNOTATION, "")
    if not text:
        text = descriptor.annotations.get(REF_ANNOTATION, "")
        if not any(mark in text for mark in "/:"):
            return None
    with contextlib.suppress(InvalidParameter):
        reference = parse(text)
        if reference.digest is None:
            return reference.tagged()
    return None


# ---- docker save ---------------------------------------------------------------


def _docker_image(documents: Documents, members: Members, item: _DockerItem, lease: Lease) -> Found:
    content = documents.content
    config = members.get(item.config)
    if len(item.layers) > MAX_LAYERS:
        raise InvalidParameter(f"image {config.digest} has more than {MAX_LAYERS} layers")
    documents.charge(config.size)
    # If a second image has it, too, it is in the store already.
    here = config.file.exists()
    data = members.read(item.config) if here else content.read(config.digest)
    spec = decode(data, ImageSpec, "image configuration")
    if len(spec.rootfs.diff_ids) != len(item.layers):
        raise InvalidParameter(
            f"invalid manifest.json: {item.config} has {len(spec.rootfs.diff_ids)} layers,"
            f" the manifest lists {len(item.layers)}"
        )
    _adopt(content, config, lease)
    layers = []
    for path in item.layers:
        member = members.get(path)
        _adopt(content, member, lease)
        compression = compression_of(content, member.digest)
        layers.append(
            Descriptor(
                media_type=layer_media_type(compression), digest=member.digest, size=member.size
            )
        )
    descriptor = put_manifest(content, config.digest, config.size, layers, lease)
    return Found(examine(content, descriptor, documents), _names(item.repo_tags))


def put_manifest(
    content: Content, config: str, config_size: int, layers: list[Descriptor], lease: Lease
) -> Descriptor:
    """Make the manifest of an image that came without one, and return its descriptor."""
    data = encode(
        Manifest(
            config=Descriptor(media_type=OCI_CONFIG, digest=config, size=config_size),
            layers=layers,
        )
    )
    return Descriptor(
        media_type=OCI_MANIFEST, digest=put_blob(content, data, lease), size=len(data)
    )


def put_blob(content: Content, data: bytes, lease: Lease) -> str:
    """Put a small blob into the store, and return its digest; it is pinned first."""
    lease.blob(digest_of(data))
    return content.put(data)


def _adopt(content: Content, member: Member, lease: Lease) -> None:
    lease.blob(member.digest)
    # A second image of the archive may have the same file.
    if member.file.exists():
        content.adopt(member.file, member.digest)


def _names(tags: Iterable[str]) -> list[Reference]:
    names = []
    for tag in tags:
        reference = parse(tag)
        if reference.digest is None:
            names.append(reference.tagged())
    return names
