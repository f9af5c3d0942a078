"""Keeping the ``/etc/hosts`` of a running container true.

The file is the container's own: it may have been changed there.  So lines are added and
taken away, and the rest is left as it is.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.networks.endpoint_records import EndpointRecord


__all__ = ["add_to_hosts", "change_hosts", "own_addresses", "own_names", "remove_from_hosts"]

_LARGEST: Final = 4 << 20
"""Bytes; a file that is larger is none of somebody who looks names up in it."""


def own_names(container: Container) -> list[str]:
    """What a container calls itself: in full, and without a domain."""
    record = container.record
    name = record.config.hostname or container.id[:12]
    domain = record.config.domainname
    full = f"{name}.{domain}" if domain else name
    return list(dict.fromkeys((full, full.partition(".")[0])))


def own_addresses(endpoint: EndpointRecord) -> Iterator[str]:
    """The addresses of an endpoint that stand in the file."""
    yield from filter(None, (endpoint.address, endpoint.address6))


def add_to_hosts(context: ContainerContext, container: Container, endpoint: EndpointRecord) -> None:
    """Add the addresses that a container has on a network; blocking."""
    change_hosts(context, container, add=_lines(container, endpoint))


def remove_from_hosts(
    context: ContainerContext, container: Container, endpoint: EndpointRecord
) -> None:
    """Take them away; blocking."""
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
    """Add and take away lines, in place: the file is bind-mounted.  Blocking.

    Args:
        context: the context of the room.
        container: the container.
        add: lines to be there.
        remove: lines not to be there.
        remove_alias: the first name of lines not to be there either.
    """
    path = context.paths.container(container.id) / "hosts"
    try:
        if path.stat().st_size > _LARGEST:
            context.log.warning("hosts stays as it is: it is too large", container=container.id)
            return
        # The container may have written anything there.
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
