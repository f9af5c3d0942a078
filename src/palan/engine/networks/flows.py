"""Flows of UDP that outlive what they were translated by.

Where a client's packets go is decided at the first of them, and remembered for as long as more
of them come.  So when a port is published, or its container goes, flows are forgotten.
"""

import socket
from collections.abc import Collection, Sequence

from palan.engine.networks.rules import Publication, is_any
from palan.host.conntrack import Flow, flows, remove_flows
from palan.host.netlink import Netlink


__all__ = ["forget_flows", "is_stale"]


def forget_flows(ports: Sequence[Publication]) -> None:
    """Forget the flows to these ports, wherever they go now.  Blocking.

    Raises:
        OSError: the kernel does not let us.
    """
    ports = [p for p in ports if p.protocol == "udp" and p.host_port]
    with Netlink() as link:
        host = {str(a.address.ip) for a in link.addresses()}
    for version in {p.version for p in ports}:
        remove_flows([f for f in flows(version) if is_stale(f, ports, host)])


def is_stale(flow: Flow, ports: Sequence[Publication], host: Collection[str]) -> bool:
    """Whether a flow is to one of the ports.

    Args:
        flow: the flow.
        ports: what is or was published.
        host: the host's addresses: what is sent to others is none of ours.
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
