"""The documents in blobs: image configurations, manifests and indexes.

Sources: OCI image specification (``config.md``, ``manifest.md``, ``image-index.md``)
and Docker's "image manifest version 2, schema 2", which differ in media types and a
few extra fields only.  Documents from outside are read leniently where Go is lenient
(``null`` is absence, unknown fields are ignored) and refused where a wrong type would
only fail later.
"""

import hashlib
from typing import Any, Final, TypeVar

import msgspec

from palan.api._base import camel_case
from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.engine.images.platform import Platform
from palan.engine.images.reference import is_digest


__all__ = [
    "INDEXES",
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "MAX_LAYERS",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "Descriptor",
    "HistoryEntry",
    "ImageSpec",
    "Index",
    "Manifest",
    "RootFS",
    "chain_ids",
    "decode",
    "digest_of",
    "encode",
    "is_index",
    "layer_media_type",
]

MAX_DOCUMENT: Final = 8 << 20
"""The largest document in bytes; configurations and indexes are a few kilobytes in practice."""

MAX_DEPTH: Final = 8  # of indexes within indexes
MAX_LAYERS: Final = 498
"""overlayfs stacks 500 lower directories.  A stopped container that is read adds its own one,
and every container the one below all (see :mod:`palan.engine.containers.mount_point_layer`)."""

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

INDEXES: Final = frozenset((OCI_INDEX, DOCKER_LIST))

T = TypeVar("T")


class _Document(msgspec.Struct, rename=camel_case, omit_defaults=True):
    """Base of documents in OCI's spelling."""


class PlatformField(_Document, kw_only=True):
    """The platform in a descriptor."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: list[str] = msgspec.field(name="os.features", default_factory=list)


class Descriptor(_Document, kw_only=True):
    """A reference to a blob."""

    media_type: str = ""
    digest: str
    size: int
    urls: list[str] = []
    annotations: dict[str, str] = {}
    platform: PlatformField | None = None
    artifact_type: str = ""

    def as_platform(self) -> Platform | None:
        """Return the platform that the descriptor names, None if it names none."""
        if self.platform is None or not self.platform.os:
            return None
        return Platform.of(self.platform.os, self.platform.architecture, self.platform.variant)


class Manifest(msgspec.Struct, rename=camel_case, kw_only=True):
    """One image for one platform: its configuration and its layers, the lowest first."""

    schema_version: int = 2
    media_type: str = OCI_MANIFEST
    config: Descriptor
    layers: list[Descriptor] = []


class Index(msgspec.Struct, rename=camel_case, kw_only=True):
    """Several manifests, usually one for each platform."""

    schema_version: int = 2
    media_type: str = OCI_INDEX
    manifests: list[Descriptor] = []


class RootFS(msgspec.Struct, kw_only=True):
    """The layers of an image by the digests of their uncompressed archives."""

    type: str = "layers"
    diff_ids: list[str] = []


class HistoryEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step that made the image."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageSpec(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The image configuration: the defaults of containers, and the layers."""

    created: str = ""
    author: str = ""
    architecture: str = ""
    variant: str = ""
    os: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    comment: str = ""
    """A comment by Docker, of images older than the history."""

    config: ImageConfig | None = msgspec.field(default_factory=ImageConfig)
    rootfs: RootFS
    history: list[HistoryEntry] = []

    @property
    def platform(self) -> Platform:
        """The platform of the image."""
        return Platform.of(self.os or "linux", self.architecture, self.variant)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def decode(data: bytes, kind: type[T], what: str) -> T:
    """Decode a document.

    Args:
        data: the blob.
        kind: the type of the document.
        what: the name of the document in messages.

    Raises:
        InvalidParameter: it is malformed, or of another type.
    """
    try:
        value = _without_nulls(msgspec.json.decode(data))
        _accept_strings(value)
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"invalid {what}: {error}") from None
    except RecursionError:
        raise InvalidParameter(f"invalid {what}: nested too deeply") from None


def _accept_strings(value: Any) -> None:
    """Convert the commands of very old images, which are strings, to lists."""
    config = value.get("config") if isinstance(value, dict) else None
    if isinstance(config, dict):
        for name in ("Cmd", "Entrypoint", "Shell"):
            if isinstance(config.get(name), str):
                config[name] = [config[name]]


def encode(document: msgspec.Struct) -> bytes:
    """Encode a document; equal documents give equal bytes."""
    return msgspec.json.encode(document)


def digest_of(data: bytes) -> str:
    """Return the digest of a small blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_index(media_type: str, data: bytes) -> bool:
    """Whether a blob is an index and not a manifest; old ones have no media type inside."""
    if media_type:
        return media_type in INDEXES
    return b'"manifests"' in data


def layer_media_type(compression: str) -> str:
    """Return the media type of a layer."""
    return f"{OCI_LAYER}+{compression}" if compression else OCI_LAYER


def chain_ids(diff_ids: list[str]) -> list[str]:
    """Return the ChainID of each layer (OCI image specification), a digest of it and those below.

    Raises:
        InvalidParameter: a diff id is malformed.
    """
    chain: list[str] = []
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise InvalidParameter(f"invalid layer digest {diff_id!r}")
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
