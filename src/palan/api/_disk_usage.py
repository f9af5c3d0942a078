"""How much disk the engine's objects take (``GET /system/df``).

Up to and including 1.55, dockerd answers the old lists and the new summaries side by
side, unless ``verbose`` asks for the new ones alone.
"""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_inspect import ContainerSummary
from palan.api._image_messages import ImageSummary
from palan.api.volumes import Volume


__all__ = [
    "BuildCache",
    "BuildCacheDiskUsage",
    "ContainersDiskUsage",
    "DiskUsage",
    "ImagesDiskUsage",
    "SystemDataUsageResponse",
    "VolumesDiskUsage",
]


class BuildCache(Message):
    """One record of the build cache."""

    id: str = field(name="ID")
    parents: list[str] | Unset = UNSET
    type: str = "regular"
    """``internal``, ``frontend``, ``source.local``, ``source.git.checkout``,
    ``exec.cachemount`` or ``regular``."""

    description: str = ""
    in_use: bool = False
    shared: bool = False
    size: int = 0
    """Bytes."""

    created_at: str = "0001-01-01T00:00:00Z"
    last_used_at: str | None = None
    usage_count: int = 0


class DiskUsage(Message, omit_defaults=True):
    """The sum over all objects of one kind; ``{}`` when there are none."""

    active_count: int = 0
    """Those in use."""

    reclaimable: int = 0
    """Bytes that pruning would free."""

    total_count: int = 0
    total_size: int = 0
    """Bytes."""


class ImagesDiskUsage(DiskUsage):
    """The disk that images take."""

    items: list[ImageSummary] = field(default_factory=list)


class ContainersDiskUsage(DiskUsage):
    """The disk that containers take."""

    items: list[ContainerSummary] = field(default_factory=list)


class VolumesDiskUsage(DiskUsage):
    """The disk that volumes take."""

    items: list[Volume] = field(default_factory=list)


class BuildCacheDiskUsage(DiskUsage):
    """The disk that the build cache takes."""

    items: list[BuildCache] = field(default_factory=list)


class SystemDataUsageResponse(Message):
    """The disk that all of the engine's objects take; kinds not asked for are left out."""

    layers_size: int | Unset = UNSET
    """Bytes.  This and the next four: below 1.52, and since then without ``verbose``."""

    images: list[ImageSummary] | Unset = UNSET
    containers: list[ContainerSummary] | Unset = UNSET
    volumes: list[Volume] | Unset = UNSET
    build_cache: list[BuildCache] | Unset = UNSET
    image_usage: ImagesDiskUsage | Unset = UNSET
    container_usage: ContainersDiskUsage | Unset = UNSET
    volume_usage: VolumesDiskUsage | Unset = UNSET
    build_cache_usage: BuildCacheDiskUsage | Unset = UNSET
