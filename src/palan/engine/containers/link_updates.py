"""Updating the containers that have a legacy link to one that has just started."""

import asyncio

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.etc_hosts import change_hosts
from palan.engine.containers.links import host_lines
from palan.engine.containers.members import member
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.links import default_endpoint


__all__ = ["update_linked_from"]


async def update_linked_from(context: ContainerContext, child: Container) -> None:
    """Give the new address of a container to those that have a link to it.

    Their ``/etc/hosts`` and, where containers may not talk, the firewall rules change.
    """
    endpoint = default_endpoint(child.record.sandbox)
    if endpoint is None:
        return
    for parent in context.registry:
        if parent.running and child.id in parent.record.links.values():
            await asyncio.to_thread(_change_hosts, context, parent, child, endpoint)
            await context.networks.allow_links(member(context, parent))


def _change_hosts(
    context: ContainerContext, parent: Container, child: Container, endpoint: EndpointRecord
) -> None:
    for alias, child_id in parent.record.links.items():
        if child_id == child.id:
            lines = host_lines(alias, child, endpoint)
            change_hosts(context, parent, add=lines, remove_alias=alias)
