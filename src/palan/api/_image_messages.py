"""Images as shown by inspect, list and history, and the results of removing them."""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_config import EmptyObject, HealthConfig
from palan.api._image_identity import Identity
from palan.api._oci import DriverData, OCIDescriptor, OCIPlatform


__all__ = [
    "AttestationStatement",
    "DistributionInspect",
    "ImageAttestationData",
    "ImageConfig",
    "ImageData",
    "ImageDataSize",
    "ImageDeleteResponseItem",
    "ImageHistoryResponseItem",
    "ImageInspectResponse",
    "ImageManifestSize",
    "ImageManifestSummary",
    "ImageMetadata",
    "ImagePruneResponse",
    "ImageRootFS",
    "ImageSearchResult",
    "ImageSummary",
]


class ImageConfig(Message, omit_defaults=True):
    """The configuration that containers of an image inherit (OCI image specification, config)."""

    user: str = ""
    exposed_ports: dict[str, EmptyObject] = field(default_factory=dict)
    env: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    volumes: dict[str, EmptyObject] = field(default_factory=dict)
    working_dir: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    args_escaped: bool = False
    """Windows only."""

    healthcheck: HealthConfig | None = None
    on_build: list[str] = field(default_factory=list)
    """Instructions for builds that are based on this image."""

    shell: list[str] = field(default_factory=list)


class ImageRootFS(Message):
    """The layers of an image."""

    type: str = "layers"
    layers: list[str] | Unset = UNSET
    """Digests of the uncompressed layers, from the lowest to the highest."""


class ImageMetadata(Message):
    """The engine's own information about an image."""

    last_tag_time: str = "0001-01-01T00:00:00Z"


class ImageManifestSize(Message):
    """The size of one manifest of an image, in bytes."""

    content: int = 0
    """The compressed content."""

    total: int = 0
    """The content and the unpacked layers."""


class ImageDataSize(Message):
    """The size of an unpacked image, in bytes."""

    unpacked: int = 0


class ImageData(Message):
    """An image for one platform."""

    platform: OCIPlatform = field(default_factory=OCIPlatform)
    identity: Identity | Unset = UNSET
    size: ImageDataSize = field(default_factory=ImageDataSize)
    containers: list[str] | None = None
    """The ids of containers that use the image."""


class ImageAttestationData(Message):
    """The subject of an attestation."""

    for_: str = field(name="For")
    """The digest of the image's manifest."""


class ImageManifestSummary(Message):
    """One manifest of an image."""

    id: str = field(name="ID")
    descriptor: OCIDescriptor = field(default_factory=OCIDescriptor)
    available: bool = False
    """Whether all of its content is on this machine."""

    size: ImageManifestSize = field(default_factory=ImageManifestSize)
    kind: str = "unknown"
    """``image``, ``attestation`` or ``unknown``."""

    image_data: ImageData | Unset = UNSET
    attestation_data: ImageAttestationData | Unset = UNSET


class ImageInspectResponse(Message):
    """Detailed information about an image (ImageInspect in Docker's description)."""

    id: str
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    parent: str | Unset = UNSET
    """The parent of an image that was built or committed on this engine."""

    comment: str | Unset = UNSET
    created: str | Unset = UNSET
    author: str | Unset = UNSET
    config: ImageConfig = field(default_factory=ImageConfig)
    architecture: str = ""
    variant: str | Unset = UNSET
    os: str = ""
    os_version: str | Unset = UNSET
    size: int = 0
    """Bytes."""

    graph_driver: DriverData | Unset = UNSET
    root_fs: ImageRootFS = field(name="RootFS", default_factory=ImageRootFS)
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    descriptor: OCIDescriptor | Unset = UNSET
    manifests: list[ImageManifestSummary] | Unset = UNSET
    """The manifests; only on request."""

    identity: Identity | Unset = UNSET


class ImageSummary(Message):
    """An image in a list."""

    id: str
    containers: int = -1
    """The number of containers that use the image; -1 if not counted."""

    created: int = 0
    """Unix seconds."""

    labels: dict[str, str] | None = field(default_factory=dict)
    parent_id: str = ""
    descriptor: OCIDescriptor | Unset = UNSET
    repo_digests: list[str] | None = field(default_factory=list)
    repo_tags: list[str] | None = field(default_factory=list)
    shared_size: int = -1
    """Bytes shared with other images; -1 if not measured."""

    size: int = 0
    """Bytes."""

    manifests: list[ImageManifestSummary] | Unset = UNSET
    """The manifests; only on request."""


class ImageHistoryResponseItem(Message):
    """One step in the history of an image."""

    comment: str = ""
    created: int = 0
    """Unix seconds."""

    created_by: str = ""
    id: str = "<missing>"
    size: int = 0
    """Bytes."""

    tags: list[str] | None = None


class ImageDeleteResponseItem(Message):
    """One effect of removing an image."""

    deleted: str | Unset = UNSET
    untagged: str | Unset = UNSET


class ImagePruneResponse(Message):
    """The images that were removed."""

    images_deleted: list[ImageDeleteResponseItem] | None = None
    space_reclaimed: int = 0
    """Bytes."""


class ImageSearchResult(Message):
    """A repository found by a search."""

    star_count: int = field(name="star_count", default=0)
    is_official: bool = field(name="is_official", default=False)
    name: str = field(name="name", default="")
    is_automated: bool = field(name="is_automated", default=False)
    """Always false."""

    description: str = field(name="description", default="")


class AttestationStatement(Message):
    """A statement about an image, such as its bill of materials (in-toto)."""

    descriptor: OCIDescriptor
    predicate_type: str
    statement: Any = UNSET
    """The document; only on request."""


class DistributionInspect(Message):
    """The content of a registry under a name."""

    descriptor: OCIDescriptor
    platforms: list[OCIPlatform] | None = None
