"""All groups of the API, for routing, clients and OpenAPI."""

from collections.abc import Iterator
from typing import Final

from palan.api import (
    build,
    configs,
    containers,
    exec,  # noqa: A004 - the name of the group in the API
    images,
    networks,
    nodes,
    plugins,
    secrets,
    services,
    swarm,
    system,
    tasks,
    volumes,
)
from palan.api.endpoint import Endpoint, Group


__all__ = ["GROUPS", "endpoints"]

GROUPS: Final[tuple[Group, ...]] = (
    containers.group,
    exec.group,
    images.group,
    build.group,
    networks.group,
    volumes.group,
    swarm.group,
    nodes.group,
    services.group,
    tasks.group,
    secrets.group,
    configs.group,
    plugins.group,
    system.group,
)


def endpoints() -> Iterator[Endpoint]:
    """Return all endpoints, group by group."""
    for group in GROUPS:
        yield from group
