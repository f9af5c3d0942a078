"""``GET /system/df``: the disk space of images, containers, volumes and the build cache."""

from palan.api import UNSET
from palan.api.containers import ContainerSummary
from palan.api.errors import InvalidParameter
from palan.api.images import ImageSummary
from palan.api.system import (
    BuildCacheDiskUsage,
    ContainersDiskUsage,
    ImagesDiskUsage,
    SystemDataUsageResponse,
    SystemDiskUsage,
    VolumesDiskUsage,
)
from palan.api.volumes import Volume
from palan.engine.system.surroundings import Surroundings


__all__ = ["disk_usage"]

TYPES = ("container", "image", "volume", "build-cache")


async def disk_usage(  # noqa: C901 - four kinds, one after the other
    surroundings: Surroundings, request: SystemDiskUsage
) -> SystemDataUsageResponse:
    """Measure the kinds of objects that the request names.

    Raises:
        InvalidParameter: it names an unknown kind.
    """
    for kind in request.type:
        if kind not in TYPES:
            raise InvalidParameter(f"unknown object type: {kind}")
    wanted = set(request.type or TYPES)
    answer = SystemDataUsageResponse()
    plain = not request.verbose
    if "image" in wanted:
        images, layers = await surroundings.images.disk_usage()
        answer.image_usage = _images(images, layers)
        if plain:
            answer.layers_size, answer.images = layers, images
    if "container" in wanted:
        containers = await surroundings.containers.disk_usage()
        answer.container_usage = _container_usage(containers)
        if plain:
            answer.containers = containers
    if "volume" in wanted:
        volumes = await surroundings.volumes.usage()
        answer.volume_usage = _volume_usage(volumes)
        if plain:
            answer.volumes = volumes
    if "build-cache" in wanted:
        answer.build_cache_usage = BuildCacheDiskUsage()
        if plain:
            answer.build_cache = []
    return answer


def _images(images: list[ImageSummary], layers: int) -> ImagesDiskUsage:
    unused = [image for image in images if not image.containers]
    return ImagesDiskUsage(
        active_count=len(images) - len(unused),
        # Removing an image frees what only this image has, not what it shares.
        reclaimable=layers
        if len(unused) == len(images)
        else sum(i.size - max(i.shared_size, 0) for i in unused),
        total_count=len(images),
        total_size=layers,
        items=images,
    )


def _container_usage(lines: list[ContainerSummary]) -> ContainersDiskUsage:
    active = [line for line in lines if line.state in ("running", "paused", "restarting")]
    total = sum(_written(line) for line in lines)
    return ContainersDiskUsage(
        active_count=len(active),
        reclaimable=total - sum(_written(line) for line in active),
        total_count=len(lines),
        total_size=total,
        items=lines,
    )


def _written(line: ContainerSummary) -> int:
    return 0 if line.size_rw is UNSET else line.size_rw


def _volume_usage(volumes: list[Volume]) -> VolumesDiskUsage:
    total = reclaimable = active = 0
    for volume in volumes:
        usage = volume.usage_data
        if usage is UNSET:
            continue
        total += usage.size
        if usage.ref_count:
            active += 1
        else:
            reclaimable += usage.size
    return VolumesDiskUsage(
        active_count=active,
        reclaimable=reclaimable,
        total_count=len(volumes),
        total_size=total,
        items=volumes,
    )
