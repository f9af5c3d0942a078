"""The containers' part of ``GET /system/df``."""

from typing import TYPE_CHECKING

from palan.api import UNSET, Filters
from palan.api.containers import ContainerSummary
from palan.engine.containers.inspect import sizes
from palan.engine.containers.listing import select, summaries


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["measured_containers"]


async def measured_containers(engine: "Engine") -> list[ContainerSummary]:
    """Return all containers as a list shows them, with their sizes."""
    containers = select(engine, Filters(), everything=True, limit=0)
    lines = summaries(engine, containers)
    for container, line in zip(containers, lines, strict=True):
        line.size_rw, line.size_root_fs = await sizes(engine, container)
        line.image_manifest_descriptor = UNSET  # dockerd leaves it out here
    return lines
