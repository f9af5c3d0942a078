"""The firewall rules for networks and published ports, independent of the back end.

:mod:`rules_nft` and :mod:`rules_iptables` express them in the language of a back end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address


__all__ = ["BridgeRules", "FamilyRules", "Link", "Publication", "is_any"]


def is_any(address: str) -> bool:
    """Return whether an address is the unspecified one, which means all of its family."""
    return ip_address(address).is_unspecified


@dataclass(frozen=True, slots=True)
class Publication:
    """A published port of a container.

    Attributes:
        host_ip: the address of the host, perhaps the unspecified one.
        host_port: the port of the host; 0 where nothing is translated, as in a routed network.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        address: the address of the container, of the same family as ``host_ip``.
        port: the port of the container.
        direct: whether packets to the container's own address are accepted, too.
    """

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int
    direct: bool = False

    @property
    def version(self) -> int:
        """The version of IP: 4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Link:
    """A port that one container may reach of another where containers may not talk (``icc``)."""

    source: str
    address: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRules:
    """The rules for a network in one version of IP.

    Attributes:
        subnets: the subnets of the network.
        masquerade: whether leaving packets get an address of the host as source.
        snat: that address; empty for the one of the outgoing interface.
        routed: whether ports are published at the containers' own addresses, with ICMP.
        unprotected: whether packets to all ports are accepted.
    """

    subnets: tuple[str, ...]
    masquerade: bool = True
    snat: str = ""
    routed: bool = False
    unprotected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeRules:
    """The rules for one bridge network.

    Attributes:
        id: the id of the network.
        bridge: the name of the bridge.
        internal: whether no packets enter or leave.
        icc: whether containers on it may reach each other.
        trusted: interfaces from which published ports are reached at containers' addresses.
        families: rules by version of IP; without an entry there are no rules.
    """

    id: str
    bridge: str
    internal: bool
    icc: bool
    trusted: tuple[str, ...]
    families: Mapping[int, FamilyRules]

    @property
    def short(self) -> str:
        """The suffix of the names of its chains."""
        return self.id[:12]
