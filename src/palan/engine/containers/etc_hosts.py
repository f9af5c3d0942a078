"""Changes of the ``/etc/hosts`` of a running container.

The container may have changed the file, so only single lines are added and removed.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.networks.endpoint_records import EndpointRecord


__all__ = ["add_to_hosts", "change_hosts", "own_addresses", "own_names", "remove_from_hosts"]

_LARGEST: Final = 4 << 20
"""Bytes; larger files are not changed."""


def own_names(container: Container) -> list[str]:
    """Return the container's own host names: with its domain, and without."""
    record = container.record
    name = record.config.hostname or container.id[:12]
    domain = record.config.domainname
    full = f"{name}.{domain}" if domain else name
    return list(dict.fromkeys((full, full.partition(".")[0])))


def own_addresses(endpoint: EndpointRecord) -> Iterator[str]:
    """Yield the addresses of an endpoint that belong in the file."""
    yield from filter(None, (endpoint.address, endpoint.address6))


def add_to_hosts(context: ContainerContext, container: Container, endpoint: EndpointRecord) -> None:
    """Add the lines for a container's addresses on a network; blocking."""
    change_hosts(context, container, add=_lines(container, endpoint))


def remove_from_hosts(
    context: ContainerContext, container: Container, endpoint: EndpointRecord
) -> None:
    """Remove the lines for a container's addresses on a network; blocking."""
    change_hosts(context, container, remove=_lines(container, endpoint))


def _lines(container: Container, endpoint: EndpointRecord) -> list[str]:
    names = " ".join(own_names(container))
    return [f"{address}\t{names}" for address in own_addresses(endpoint)]


def change_hosts(
    context: ContainerContext,
    container: Container,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    remove_alias: str = "",
) -> None:
    """Add and remove lines, in place, as the file is bind-mounted; blocking.

    Args:
        context: the context of the room.
        container: the container.
        add: the lines to add, unless the file has them.
        remove: the lines to remove.
        remove_alias: the first name of further lines to remove.
    """
    path = context.paths.container(container.id) / "hosts"
    try:
        if path.stat().st_size > _LARGEST:
            context.log.warning("hosts stays as it is: it is too large", container=container.id)
            return
        # The container may have written any bytes.
        text = path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return
    unwanted = set(remove)
    given = text.removesuffix("\n").split("\n") if text else []
    lines = [
        line
        for line in given
        if line not in unwanted and not (remove_alias and _first_name(line) == remove_alias)
    ]
    lines += (line for line in add if line not in lines)
    changed = "".join(f"{line}\n" for line in lines)
    if changed != text:
        path.write_bytes(changed.encode(errors="surrogateescape"))


def _first_name(line: str) -> str:
    words = line.partition("#")[0].split()
    return words[1] if len(words) > 1 else ""
