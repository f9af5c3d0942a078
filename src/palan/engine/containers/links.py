"""Legacy links: names and variables for other containers on the default bridge.

A container that is linked to another has a line for it in its ``/etc/hosts``, and variables with
its address, ports and environment.  On user-defined networks links are
aliases in DNS (:mod:`palan.engine.networks.endpoints`).
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from palan.api.containers import HostConfig
from palan.api.errors import Conflict, InternalError, InvalidParameter, NotFound
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.etc_hosts import change_hosts, own_addresses
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.links import default_endpoint
from palan.engine.networks.port_parsing import Port, parse_exposed_ports
from palan.engine.networks.validate_endpoint import is_user_defined, parse_link


__all__ = [
    "check_links",
    "host_lines",
    "link_environment",
    "link_hosts",
    "link_names",
    "linked",
    "resolve_links",
    "shown_links",
    "unlink",
]

_NOT_PASSED_ON: Final = ("HOME", "PATH")
"""Variables that are not passed on to linked containers."""


def resolve_links(context: ContainerContext, host_config: HostConfig) -> dict[str, str]:
    """Return the legacy links of a new container: ids of containers by alias.

    They are removed from ``host_config``, as inspect shows them by the current names.  Links on
    user-defined networks stay there, as names whose containers may be created later.

    Raises:
        InvalidParameter: a linked container does not exist, or is on the host's network.
    """
    if is_user_defined(host_config.network_mode):
        return {}
    found = {}
    for link in host_config.links or ():
        name, alias = parse_link(link)
        child = _network_owner(context, name)
        if child.record.host_config.network_mode == "host":
            raise InvalidParameter(
                "conflicting options: host type networking can't be used with links. This would"
                " result in undefined behavior"
            )
        found[alias] = child.id
    if found:
        host_config.links = None
    return found


def _network_owner(context: ContainerContext, reference: str) -> Container:
    """Return the container whose network another one uses, perhaps by way of others.

    Raises:
        InvalidParameter: one of them does not exist.
    """
    name = reference
    while True:
        child = context.registry.find(name)
        if child is None:
            raise InvalidParameter(f"could not get container for {name}: No such container: {name}")
        mode = child.record.host_config.network_mode
        if not mode.startswith("container:"):
            return child
        name = mode.removeprefix("container:")


def linked(context: ContainerContext, container: Container) -> Iterator[tuple[str, Container]]:
    """Yield the containers that one is linked to, with their aliases."""
    for alias, child_id in container.record.links.items():
        child = context.registry.find(child_id)
        if child is not None:
            yield alias, child


def shown_links(context: ContainerContext, container: Container) -> list[str] | None:
    """Return ``HostConfig.Links``: ``/child:/parent/alias``, or the links of other networks."""
    record = container.record
    found = [f"/{child.name}:/{record.name}/{alias}" for alias, child in linked(context, container)]
    return found or record.host_config.links


def link_names(context: ContainerContext) -> dict[str, list[str]]:
    """Return the names that links give to containers, ``/parent/alias``, by container id."""
    found: dict[str, list[str]] = {}
    for parent in context.registry:
        for alias, child_id in parent.record.links.items():
            found.setdefault(child_id, []).append(f"/{parent.name}/{alias}")
    return found


async def unlink(context: ContainerContext, reference: str) -> None:
    """Remove a link by its name, ``parent/alias``.

    Raises:
        InternalError: it is a container's own name; in dockerd's words.
        NotFound: there is no such link.
    """
    name, _, alias = reference.strip("/").rpartition("/")
    if not name:
        raise InternalError("Conflict, cannot remove the default link name of the container")
    parent = context.registry.find(name)
    if parent is None:
        raise NotFound(f"Cannot get parent {name} for link name {reference}: No such container")
    async with parent.lock:
        child_id = parent.record.links.pop(alias, None)
        if child_id is None:
            raise NotFound(f"No such link: {reference}")
        try:
            await context.save(parent)
        except BaseException:
            parent.record.links[alias] = child_id
            raise
        await asyncio.to_thread(change_hosts, context, parent, remove_alias=alias)


# ---- at a start -------------------------------------------------------------------


def check_links(context: ContainerContext, container: Container) -> None:
    """Check that a container can be started with its links.

    Raises:
        Conflict: a linked container does not run, or is not on the default bridge.
    """
    for alias, child in linked(context, container):
        shown = f"/{container.name}/{alias}"
        if not child.running:
            raise Conflict(f"Cannot link to a non running container: /{child.name} AS {shown}")
        if default_endpoint(child.record.sandbox) is None:
            raise Conflict(
                f"Cannot link to /{child.name}, as it does not belong to the default network"
            )


def link_hosts(context: ContainerContext, container: Container) -> list[str]:
    """Return the lines of ``/etc/hosts`` for the containers that one is linked to."""
    return [
        line
        for alias, child in linked(context, container)
        if (there := default_endpoint(child.record.sandbox))
        for line in host_lines(alias, child, there)
    ]


def host_lines(alias: str, child: Container, there: EndpointRecord) -> list[str]:
    """Return the lines of ``/etc/hosts`` for one linked container."""
    return [f"{address}\t{_names(alias, child)}" for address in own_addresses(there)]


def _names(alias: str, child: Container) -> str:
    names = [alias, child.record.config.hostname or child.id[:12]]
    if alias != child.name:
        names.append(child.name)
    return " ".join(names)


def link_environment(context: ContainerContext, container: Container) -> list[str]:
    """Return the variables that describe the containers that one is linked to."""
    variables = []
    for alias, child in linked(context, container):
        there = default_endpoint(child.record.sandbox)
        if there is not None:
            name = f"/{container.name}/{alias}"
            variables += list(_variables(name, alias, child, there.address))
    return variables


def _variables(name: str, alias: str, child: Container, address: str) -> Iterator[str]:
    config = child.record.config
    prefix = alias.upper().replace("-", "_")
    # TCP before UDP at the same number, as Docker sorts them.
    ports = sorted(parse_exposed_ports(config.exposed_ports))
    if ports:
        first = next((p for p in ports if p.protocol == "tcp"), ports[0])
        yield f"{prefix}_PORT={_url(first, address)}"
    for port in ports:
        this = f"{prefix}_PORT_{port.number}_{port.protocol.upper()}"
        yield f"{this}={_url(port, address)}"
        yield f"{this}_ADDR={address}"
        yield f"{this}_PORT={port.number}"
        yield f"{this}_PROTO={port.protocol}"
    yield f"{prefix}_NAME={name}"
    for variable in config.env or ():
        key, equals, value = variable.partition("=")
        if equals and key not in _NOT_PASSED_ON:
            yield f"{prefix}_ENV_{key}={value}"


def _url(port: Port, address: str) -> str:
    return f"{port.protocol}://{address}:{port.number}"
