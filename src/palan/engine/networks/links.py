"""Legacy links: firewall rules between linked containers where others may not talk (``icc``)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.network import Network
from palan.engine.networks.port_parsing import PROTOCOLS, Port
from palan.engine.networks.rules import Link


if TYPE_CHECKING:
    from palan.engine.networks.firewall import Firewall


__all__ = ["Linked", "allow_links", "default_endpoint"]


@dataclass(frozen=True, slots=True)
class Linked:
    """A container that another one is linked to.

    Attributes:
        endpoint: its endpoint on the default bridge.
        ports: the ports that it exposes.
    """

    endpoint: EndpointRecord
    ports: Sequence[Port]


def default_endpoint(sandbox: SandboxRecord | None) -> EndpointRecord | None:
    """Return the endpoint on the default bridge; None without one."""
    endpoints = sandbox.endpoints if sandbox else ()
    return next((e for e in endpoints if e.network_name == "bridge"), None)


async def allow_links(
    firewall: "Firewall",
    default: Network | None,
    container_id: str,
    sandbox: SandboxRecord,
    linked: Iterable[Linked],
) -> None:
    """Replace the rules that allow a container to reach those that it is linked to.

    Args:
        firewall: the firewall.
        default: the default bridge; None without one.
        container_id: the container.
        sandbox: its sandbox.
        linked: the containers that it is linked to.

    Raises:
        InternalError: the rules were refused.
    """
    await firewall.link_no_more(container_id)
    await firewall.link(container_id, _rules(default, sandbox, linked))


def _rules(default: Network | None, sandbox: SandboxRecord, linked: Iterable[Linked]) -> list[Link]:
    here = default_endpoint(sandbox)
    if here is None or default is None or default.options.icc:
        return []
    return [
        Link(source, address, port.protocol, port.number)
        for other in linked
        for source, address in _pairs(here, other.endpoint)
        for port in other.ports
        if port.protocol in PROTOCOLS
    ]


def _pairs(here: EndpointRecord, there: EndpointRecord) -> Iterator[tuple[str, str]]:
    """Return the addresses of both ends, by IP version that both have."""
    for source, address in ((here.address, there.address), (here.address6, there.address6)):
        if source and address:
            yield source, address
