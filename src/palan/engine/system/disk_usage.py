"""``GET /system/df``: what images, containers, volumes and the build cache take."""

from typing import TYPE_CHECKING

from palan.api import UNSET, Filters
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
from palan.engine.containers.inspect import sizes
from palan.engine.containers.listing import select, summaries


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["disk_usage"]

TYPES = ("container", "image", "volume", "build-cache")


async def disk_usage(  # noqa: C901 - four kinds, one after the other
    engine: "Engine", request: SystemDiskUsage
) -> SystemDataUsageResponse:
    """Measure the kinds that are asked for.

    Raises:
        InvalidParameter: there is no such kind.
    """
    for kind in request.type:
        if kind not in TYPES:
            raise InvalidParameter(f"unknown object type: {kind}")
    wanted = set(request.type or TYPES)
    answer = SystemDataUsageResponse()
    plain = not request.verbose
    if "image" in wanted:
        images, layers = await engine.images.disk_usage()
        answer.image_usage = _images(images, layers)
        if plain:
            answer.layers_size, answer.images = layers, images
    if "container" in wanted:
        containers = await _containers(engine)
        answer.container_usage = _container_usage(containers)
        if plain:
            answer.containers = containers
    if "volume" in wanted:
        volumes = await engine.volumes.usage()
        answer.volume_usage = _volume_usage(volumes)
        if plain:
            answer.volumes = volumes
    if "build-cache" in wanted:
        answer.build_cache_usage = BuildCacheDiskUsage()
        if plain:
            answer.build_cache = []
    return answer


async def _containers(engine: "Engine") -> list[ContainerSummary]:
    containers = select(engine, Filters(), everything=True, limit=0)
    lines = summaries(engine, containers)
    for container, line in zip(containers, lines, strict=True):
        line.size_rw, line.size_root_fs = await sizes(engine, container)
        line.image_manifest_descriptor = UNSET  # dockerd does not look for it here
    return lines


def _images(images: list[ImageSummary], layers: int) -> ImagesDiskUsage:
    unused = [image for image in images if not image.containers]
    return ImagesDiskUsage(
        active_count=len(images) - len(unused),
        # What only this image has goes with it; what it shares does not.
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
