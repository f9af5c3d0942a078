"""Addresses of subnets, and subnets of networks: which are free, which are taken.

Pure, in memory.  What is taken is not stored: it follows from the networks and from the
sandboxes of the containers, which claim their addresses again when the engine starts.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from typing import Final

from palan.api.errors import Forbidden, InvalidParameter


__all__ = [
    "DEFAULT_POOLS",
    "AddressPool",
    "Exhausted",
    "IPAddress",
    "IPInterface",
    "IPNetwork",
    "SplitPool",
    "choose_subnet",
    "private_pool",
]

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network
SplitPool = tuple[IPNetwork, int]
"""A network and the length of the prefix of the subnets that it is split into."""

_IN_USE: Final = "Address already in use"
_MOST: Final = 2**64 - 1
"""What fits into the numbers of a status."""

DEFAULT_POOLS: Final[Sequence[SplitPool]] = (
    (IPv4Network("172.17.0.0/16"), 16),
    (IPv4Network("172.18.0.0/15"), 16),
    (IPv4Network("172.20.0.0/14"), 16),
    (IPv4Network("172.24.0.0/13"), 16),
    (IPv4Network("192.168.0.0/16"), 20),
    # Docker's end here, after 31 networks.
    (IPv4Network("10.0.0.0/8"), 20),
)


def private_pool(engine_id: str) -> SplitPool:
    """The engine's own part of the unique local IPv6 addresses (RFC 4193), in subnets of /64."""
    digest = hashlib.sha256(f"networks of {engine_id}".encode()).digest()
    return IPv6Network((b"\xfd" + digest[:5] + bytes(10), 48)), 64


def _subnets(pools: Iterable[SplitPool], version: int, prefix: int) -> Iterator[SplitPool]:
    """The pools of one IP version, with the asked for prefix if one is (0 is none)."""
    for base, size in pools:
        if base.version != version:
            continue
        if not prefix:
            yield base, size
        elif base.prefixlen <= prefix <= base.max_prefixlen:
            yield base, prefix


def choose_subnet(
    pools: Iterable[SplitPool], taken: Iterable[IPNetwork], *, version: int = 4, prefix: int = 0
) -> IPNetwork:
    """The first subnet of the pools that overlaps with nothing that is known already.

    Args:
        pools: where to look, in this order.
        taken: what networks have and the host knows.
        version: of IP.
        prefix: the length of its prefix; 0 for the pool's own.

    Raises:
        InvalidParameter: there is none; in dockerd's words.
    """
    used = sorted(
        (int(n.network_address), int(n.broadcast_address)) for n in taken if n.version == version
    )
    fitting = list(_subnets(pools, version, prefix))
    if not fitting:
        raise InvalidParameter("invalid address pool")
    for base, size in fitting:
        step = 1 << (base.max_prefixlen - size)
        first, last = int(base.network_address), int(base.broadcast_address)
        for low, high in used:
            if high < first:
                continue
            if low >= first + step:
                break
            # The next subnet behind what is in the way.
            first = (high + 1 + step - 1) // step * step
        if first + step - 1 <= last:
            kind = IPv4Network if version == 4 else IPv6Network
            return kind((first, size))
    raise InvalidParameter("all predefined address pools have been fully subnetted")


class Exhausted(Exception):
    """All addresses of a pool are taken."""


class AddressPool:
    """The addresses of one subnet, handed out in turn as Docker does.

    An address that was returned is used again only after all others, so that
    neighbours' ARP caches and late packets do not meet a new owner.

    Attributes:
        subnet: the subnet.
        gateway: the gateway's address with the subnet's prefix length; None for no gateway.
        auxiliary: addresses that are never handed out, by what they are for.
        identifier: what an external IPAM driver calls it.
        fixed: addresses, as numbers, that are never handed out.
    """

    def __init__(self, subnet: IPNetwork, allowed: IPNetwork | None = None) -> None:
        """Start with everything free but the network's and the broadcast address.

        Args:
            subnet: the subnet.
            allowed: the part of the subnet to hand out; all by default.
        """
        self.subnet = subnet
        self.gateway: IPInterface | None = None
        self.auxiliary: dict[str, IPAddress] = {}
        self.identifier = ""
        self._range = allowed or subnet
        self._kind = IPv4Address if subnet.version == 4 else IPv6Address
        self.fixed: set[int] = set()
        # A link between two hosts needs neither (RFC 3021); IPv6 has no broadcast, but its
        # first address means every router (RFC 4291, 2.6.1).
        if subnet.version == 6 or subnet.prefixlen < 31:
            self.fixed.add(int(subnet.network_address))
        if subnet.version == 4 and subnet.prefixlen < 31:
            self.fixed.add(int(subnet.broadcast_address))
        self._taken = set(self.fixed)
        self._next = int(self._range.network_address)

    @property
    def taken(self) -> int:
        """How many addresses are in use, those that are never handed out included."""
        return min(len(self._taken), _MOST)

    @property
    def available(self) -> int:
        """How many can still be handed out."""
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        return min(last - first + 1 - sum(first <= n <= last for n in self._taken), _MOST)

    def claim(self, address: IPAddress) -> None:
        """Take a given address.

        Raises:
            Forbidden: somebody else has it.
            InvalidParameter: it is not of this subnet.
        """
        if address not in self.subnet:
            raise InvalidParameter("requested address is out of range")
        if int(address) in self._taken:
            raise Forbidden(_IN_USE)
        self._taken.add(int(address))

    def allocate(self) -> IPAddress:
        """Take the next free address.

        Raises:
            Exhausted: there is none.
        """
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        size = last - first + 1
        # Among one more than are taken, one is free.
        for offset in range(min(size, len(self._taken) + 1)):
            number = first + (self._next - first + offset) % size
            if number not in self._taken:
                self._taken.add(number)
                self._next = number + 1
                return self._kind(number)
        raise Exhausted

    def release(self, address: IPAddress) -> None:
        """Give an address back; one that is not taken is ignored."""
        if int(address) not in self.fixed:
            self._taken.discard(int(address))

    def reserve_fixed(
        self, gateway: str = "", *, wants_gateway: bool, auxiliary: dict[str, str]
    ) -> None:
        """Reserve the addresses of the network itself, once, before any other is allocated.

        Args:
            gateway: its address; empty for the first free one.
            wants_gateway: whether there is to be one at all if none is named.
            auxiliary: addresses that are never to be handed out.

        Raises:
            Forbidden: the gateway can't have its address.
            InvalidParameter: an auxiliary address is taken.
            Exhausted: nothing is left for it.
        """
        kind = self._kind
        if gateway or wants_gateway:
            if gateway:
                address: IPAddress = kind(gateway)
                self.claim(address)
            else:
                address = self.allocate()
            self.fixed.add(int(address))
            self.gateway = ip_interface((address, self.subnet.prefixlen))
        for name, text in auxiliary.items():
            address = kind(text)
            if int(address) in self._taken:
                raise InvalidParameter(
                    f"failed to allocate secondary ip address ({name}:{text}): {_IN_USE}"
                )
            self.auxiliary[name] = address
            self.fixed.add(int(address))
            self._taken.add(int(address))
