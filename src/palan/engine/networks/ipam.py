"""Addresses of one subnet: which are free, which are taken.  Pure, in memory.

What is taken is not stored: it follows from the sandboxes of the containers, which
claim their addresses again when the engine starts.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from palan.api.errors import Forbidden, InternalError


__all__ = ["AddressPool", "choose_subnet"]


def default_pools() -> Iterator[IPv4Network]:
    """In Docker's order, and then a long tail so that they do not run out at 31."""
    yield from (IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32))
    yield from IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    yield from IPv4Network("10.0.0.0/8").subnets(new_prefix=20)


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first default subnet that overlaps with nothing the host knows already.

    Raises:
        InternalError: all of them do.
    """
    used = list(taken)
    for pool in default_pools():
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise InternalError(
        "could not find an available, non-overlapping IPv4 address pool among the defaults"
        " to assign to the network"
    )


class AddressPool:
    """The addresses of one subnet, handed out in turn as Docker does.

    An address that was returned is used again only after all others, so that
    neighbours' ARP caches and late packets do not meet a new owner.
    """

    def __init__(self, gateway: IPv4Interface, allowed: IPv4Network | None = None) -> None:
        """Start with everything free but the network's, the gateway's and the broadcast address.

        Args:
            gateway: the gateway's address with the subnet's prefix length.
            allowed: the part of the subnet to hand out (``--fixed-cidr``); all by default.
        """
        self.gateway = gateway
        self.subnet = gateway.network
        self._range = allowed or self.subnet
        self._taken = {
            self.subnet.network_address,
            self.subnet.broadcast_address,
            gateway.ip,
        }
        self._next = int(self._range.network_address)

    @property
    def taken(self) -> int:
        """How many addresses are in use, the reserved ones included."""
        return len(self._taken)

    def claim(self, address: IPv4Address) -> None:
        """Take a given address.

        Raises:
            Forbidden: somebody else has it.
        """
        if address in self._taken:
            raise Forbidden("Address already in use")
        self._taken.add(address)

    def allocate(self) -> IPv4Address:
        """Take the next free address.

        Raises:
            InternalError: there is none.
        """
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        for offset in range(last - first + 1):
            number = first + (self._next - first + offset) % (last - first + 1)
            address = IPv4Address(number)
            if address not in self._taken:
                self._taken.add(address)
                self._next = number + 1
                return address
        raise InternalError("no available IPv4 addresses on this network's address pools")

    def release(self, address: IPv4Address) -> None:
        """Give an address back; one that is not taken is ignored."""
        if address != self.gateway.ip:
            self._taken.discard(address)
