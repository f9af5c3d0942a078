"""What the firewall is to do for networks and published ports, whatever carries it out.

:mod:`rules_nft` and :mod:`rules_iptables` say it in the language of a back end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address


__all__ = ["BridgeRules", "FamilyRules", "Link", "Publication", "is_any"]


def is_any(address: str) -> bool:
    """Whether it stands for all addresses of its family."""
    return ip_address(address).is_unspecified


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of a container, and of the host if it has one there.

    Attributes:
        host_ip: an address of the host, perhaps the unspecified one.
        host_port: 0 where nothing is translated, as in a routed network.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        address: the container's, of the same family as ``host_ip``.
        port: the container's.
        direct: those who are let in may also send to the container's own address.
    """

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int
    direct: bool = False

    @property
    def version(self) -> int:
        """Of IP: 4 or 6."""
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
    """What holds for a network in one family of addresses.

    Attributes:
        subnets: its own.
        masquerade: what leaves takes an address of the host.
        snat: which address that is; empty for that of the interface where it leaves.
        routed: ports are published at containers' own addresses, and they answer pings.
        unprotected: anybody may send to any port.
    """

    subnets: tuple[str, ...]
    masquerade: bool = True
    snat: str = ""
    routed: bool = False
    unprotected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeRules:
    """What holds for one bridge network.

    Attributes:
        id: the network's.
        bridge: its interface.
        internal: nothing comes in or goes out.
        icc: containers on it may reach each other.
        trusted: interfaces from which published ports are reached at containers' addresses.
        families: by version of IP; one that is missing has no rules.
    """

    id: str
    bridge: str
    internal: bool
    icc: bool
    trusted: tuple[str, ...]
    families: Mapping[int, FamilyRules]

    @property
    def short(self) -> str:
        """What names of chains end in."""
        return self.id[:12]
