"""Allocation of subnets to networks, and of addresses to endpoints.

Pure, in memory.  Allocations are not saved: they follow from the networks' rows and from the
sandboxes of the containers, whose addresses are claimed again when the engine starts.
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
"""The largest number that fits into the fields of a status."""

DEFAULT_POOLS: Final[Sequence[SplitPool]] = (
    (IPv4Network("172.17.0.0/16"), 16),
    (IPv4Network("172.18.0.0/15"), 16),
    (IPv4Network("172.20.0.0/14"), 16),
    (IPv4Network("172.24.0.0/13"), 16),
    (IPv4Network("192.168.0.0/16"), 20),
    # Docker's defaults end here, after 31 networks.
    (IPv4Network("10.0.0.0/8"), 20),
)


def private_pool(engine_id: str) -> SplitPool:
    """Return the engine's own unique local IPv6 prefix (RFC 4193), in subnets of /64."""
    digest = hashlib.sha256(f"networks of {engine_id}".encode()).digest()
    return IPv6Network((b"\xfd" + digest[:5] + bytes(10), 48)), 64


def _subnets(pools: Iterable[SplitPool], version: int, prefix: int) -> Iterator[SplitPool]:
    """Yield the pools of one IP version, with the length of prefix asked for unless it is 0."""
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
    """Return the first subnet of the pools that overlaps with no subnet in use.

    Args:
        pools: the pools, in order of preference.
        taken: the subnets of networks, and those that the host knows.
        version: the version of IP.
        prefix: the length of the prefix; 0 for the pool's own.

    Raises:
        InvalidParameter: no subnet is free; in dockerd's words.
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
            # Continue with the next subnet after the one in use.
            first = (high + 1 + step - 1) // step * step
        if first + step - 1 <= last:
            kind = IPv4Network if version == 4 else IPv6Network
            return kind((first, size))
    raise InvalidParameter("all predefined address pools have been fully subnetted")


class Exhausted(Exception):
    """All addresses of a pool are in use."""


class AddressPool:
    """The addresses of one subnet, allocated in turn as Docker does.

    A released address is allocated again only after all others, so that old ARP entries and
    late packets do not reach a new owner.

    Attributes:
        subnet: the subnet.
        gateway: the gateway's address with the subnet's prefix length; None for no gateway.
        auxiliary: addresses that are never allocated, by their names in the request.
        identifier: the id that an IPAM plugin has given to the pool.
        fixed: addresses, as numbers, that are never allocated.
    """

    def __init__(self, subnet: IPNetwork, allowed: IPNetwork | None = None) -> None:
        """Start with all addresses free but the network's and the broadcast address.

        Args:
            subnet: the subnet.
            allowed: the part of the subnet to allocate from; all by default.
        """
        self.subnet = subnet
        self.gateway: IPInterface | None = None
        self.auxiliary: dict[str, IPAddress] = {}
        self.identifier = ""
        self._range = allowed or subnet
        self._kind = IPv4Address if subnet.version == 4 else IPv6Address
        self.fixed: set[int] = set()
        # A link between two hosts needs neither (RFC 3021); IPv6 has no broadcast, but its
        # first address is that of every router (RFC 4291, 2.6.1).
        if subnet.version == 6 or subnet.prefixlen < 31:
            self.fixed.add(int(subnet.network_address))
        if subnet.version == 4 and subnet.prefixlen < 31:
            self.fixed.add(int(subnet.broadcast_address))
        self._taken = set(self.fixed)
        self._next = int(self._range.network_address)

    @property
    def taken(self) -> int:
        """The number of addresses in use, including those that are never allocated."""
        return min(len(self._taken), _MOST)

    @property
    def available(self) -> int:
        """The number of addresses that can still be allocated."""
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        return min(last - first + 1 - sum(first <= n <= last for n in self._taken), _MOST)

    def claim(self, address: IPAddress) -> None:
        """Reserve a given address.

        Raises:
            Forbidden: the address is in use.
            InvalidParameter: the address is not in this subnet.
        """
        if address not in self.subnet:
            raise InvalidParameter("requested address is out of range")
        if int(address) in self._taken:
            raise Forbidden(_IN_USE)
        self._taken.add(int(address))

    def allocate(self) -> IPAddress:
        """Reserve the next free address.

        Raises:
            Exhausted: no address is free.
        """
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        size = last - first + 1
        # One address more than are in use has to be tried at most.
        for offset in range(min(size, len(self._taken) + 1)):
            number = first + (self._next - first + offset) % size
            if number not in self._taken:
                self._taken.add(number)
                self._next = number + 1
                return self._kind(number)
        raise Exhausted

    def release(self, address: IPAddress) -> None:
        """Release an address; one that is not in use is ignored."""
        if int(address) not in self.fixed:
            self._taken.discard(int(address))

    def reserve_fixed(
        self, gateway: str = "", *, wants_gateway: bool, auxiliary: dict[str, str]
    ) -> None:
        """Reserve the addresses of the network itself, once, before any other is allocated.

        Args:
            gateway: the address of the gateway; empty for the first free one.
            wants_gateway: whether a gateway is needed although none is named.
            auxiliary: addresses that are never to be allocated, by name.

        Raises:
            Forbidden: the gateway's address is in use.
            InvalidParameter: an auxiliary address is in use.
            Exhausted: no address is free for the gateway.
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
