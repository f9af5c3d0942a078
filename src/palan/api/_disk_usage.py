"""Disk usage of the engine's objects (``GET /system/df``).

Up to and including 1.55, dockerd returns the old lists beside the new summaries, unless
``verbose`` selects only the new ones.
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
    """The sum over all objects of one kind; ``{}`` if there are no objects."""

    active_count: int = 0
    """The number of objects in use."""

    reclaimable: int = 0
    """Bytes that pruning would free."""

    total_count: int = 0
    total_size: int = 0
    """Bytes."""


class ImagesDiskUsage(DiskUsage):
    """The disk usage of images."""

    items: list[ImageSummary] = field(default_factory=list)


class ContainersDiskUsage(DiskUsage):
    """The disk usage of containers."""

    items: list[ContainerSummary] = field(default_factory=list)


class VolumesDiskUsage(DiskUsage):
    """The disk usage of volumes."""

    items: list[Volume] = field(default_factory=list)


class BuildCacheDiskUsage(DiskUsage):
    """The disk usage of the build cache."""

    items: list[BuildCache] = field(default_factory=list)


class SystemDataUsageResponse(Message):
    """The disk usage of the engine's objects, for the requested kinds."""

    layers_size: int | Unset = UNSET
    """Bytes. Like the lists below, absent with ``verbose`` since 1.52."""

    images: list[ImageSummary] | Unset = UNSET
    containers: list[ContainerSummary] | Unset = UNSET
    volumes: list[Volume] | Unset = UNSET
    build_cache: list[BuildCache] | Unset = UNSET
    image_usage: ImagesDiskUsage | Unset = UNSET
    container_usage: ContainersDiskUsage | Unset = UNSET
    volume_usage: VolumesDiskUsage | Unset = UNSET
    build_cache_usage: BuildCacheDiskUsage | Unset = UNSET
