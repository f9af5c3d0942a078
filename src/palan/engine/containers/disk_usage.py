"""The containers' part of ``GET /system/df``."""

from palan.api import UNSET, Filters
from palan.api.containers import ContainerSummary
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.inspect import sizes
from palan.engine.containers.listing import select, summaries


__all__ = ["measured_containers"]


async def measured_containers(context: ContainerContext) -> list[ContainerSummary]:
    """Return all containers as a list shows them, with their sizes."""
    containers = select(context, Filters(), everything=True, limit=0)
    lines = summaries(context, containers)
    for container, line in zip(containers, lines, strict=True):
        line.size_rw, line.size_root_fs = await sizes(context, container)
        line.image_manifest_descriptor = UNSET  # dockerd leaves it out here
    return lines
