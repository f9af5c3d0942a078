"""The firewall rules for networks and published ports, independent of the back end.

:mod:`rules_nft` and :mod:`rules_iptables` express them in the language of a back end.  No text
gets into rules but through the classes here, which check names of interfaces and reduce
addresses to their digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from palan.host.interface_names import rule_interface_problem


__all__ = ["BridgeRules", "FamilyRules", "Link", "Publication", "is_any"]


def is_any(address: str) -> bool:
    """Return whether an address is the unspecified one, which means all of its family."""
    return ip_address(address).is_unspecified


def _digits(address: str) -> str:
    """Return an address without its zone, which rules do not have.

    Raises:
        ValueError: the text is not an address.
    """
    return str(ip_address(address.partition("%")[0]))


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

    def __post_init__(self) -> None:
        for name in ("host_ip", "address"):
            object.__setattr__(self, name, _digits(getattr(self, name)))

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

    def __post_init__(self) -> None:
        for name in ("source", "address"):
            object.__setattr__(self, name, _digits(getattr(self, name)))


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

    def __post_init__(self) -> None:
        plain = tuple(
            f"{_digits(a)}/{int(n)}" for a, _, n in (s.partition("/") for s in self.subnets)
        )
        object.__setattr__(self, "subnets", plain)
        if self.snat:
            object.__setattr__(self, "snat", _digits(self.snat))


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

    def __post_init__(self) -> None:
        for name in (self.bridge, *self.trusted):
            if problem := rule_interface_problem(name):
                raise ValueError(problem)

    @property
    def short(self) -> str:
        """The suffix of the names of its chains."""
        return self.id[:12]
