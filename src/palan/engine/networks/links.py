"""Legacy links: firewall rules between linked containers where others may not talk (``icc``)."""

from collections.abc import Iterable, Iterator

from palan.engine.networks.context import NetworkContext
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.member import Linked, Member
from palan.engine.networks.network import Network
from palan.engine.networks.port_parsing import PROTOCOLS
from palan.engine.networks.rules import Link


__all__ = ["allow_links", "default_endpoint", "link_rules"]


def default_endpoint(sandbox: SandboxRecord | None) -> EndpointRecord | None:
    """Return the endpoint on the default bridge; None without one."""
    endpoints = sandbox.endpoints if sandbox else ()
    return next((e for e in endpoints if e.network_name == "bridge"), None)


async def allow_links(context: NetworkContext, member: Member, sandbox: SandboxRecord) -> None:
    """Replace the rules that allow a container to reach those that it is linked to.

    Raises:
        InternalError: the rules were refused.
    """
    if member.linked:
        await context.firewall.remove_links(member.id)
        rules = link_rules(context.table.default, sandbox, member.linked)
        await context.firewall.add_links(member.id, rules)


def link_rules(
    default: Network | None, sandbox: SandboxRecord, linked: Iterable[Linked]
) -> list[Link]:
    """Return the rules that links need; none where all containers may talk.

    Args:
        default: the default bridge; None without one.
        sandbox: the namespace of the container that has the links.
        linked: the containers that they lead to.
    """
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
    """Yield the addresses of both ends, by IP version that both have."""
    for source, address in ((here.address, there.address), (here.address6, there.address6)):
        if source and address:
            yield source, address
