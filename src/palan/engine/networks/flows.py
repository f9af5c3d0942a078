"""Conntrack entries (flows) of UDP that outlive the rules by which they were translated.

The kernel decides at the first packet of a client where its packets go, and keeps to that while
more packets come.  So flows are removed when a port is published and when its container ends.
"""

import socket
from collections.abc import Collection, Sequence

from palan.engine.networks.rules import Publication, is_any
from palan.host.conntrack import Flow, flows, remove_flows
from palan.host.netlink import Netlink


__all__ = ["is_stale", "remove_stale_flows"]


def remove_stale_flows(ports: Sequence[Publication]) -> None:
    """Remove the flows to these ports, wherever they lead now.  Blocking.

    Raises:
        OSError: the kernel refuses.
    """
    ports = [p for p in ports if p.protocol == "udp" and p.host_port]
    with Netlink() as link:
        host = {str(a.address.ip) for a in link.addresses()}
    for version in {p.version for p in ports}:
        remove_flows([f for f in flows(version) if is_stale(f, ports, host)])


def is_stale(flow: Flow, ports: Sequence[Publication], host: Collection[str]) -> bool:
    """Return whether a flow leads to one of the ports.

    Args:
        flow: the flow.
        ports: ports that are or were published.
        host: the host's addresses; flows to other addresses do not count.
    """
    if flow.protocol != socket.IPPROTO_UDP:
        return False
    local = flow.destination in host or flow.destination.startswith("127.")
    return any(
        p.version == flow.version
        and flow.port == p.host_port
        and (local if is_any(p.host_ip) else flow.destination == p.host_ip)
        for p in ports
    )
