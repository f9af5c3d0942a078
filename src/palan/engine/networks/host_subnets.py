"""The subnets of the host that a new network must not hide from it and its containers.

Reading them takes the longer the more networks there are, as the kernel lists those of the
engine's own bridges, too.  So they are kept, and read again after the kernel has notified about a
change on another interface.
"""

import contextlib
import threading
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Final

from palan.engine.networks.ipam import IPNetwork
from palan.host.address_monitor import AddressMonitor, is_local
from palan.host.netlink import Netlink


__all__ = ["HostSubnets", "host_networks"]

_UNICAST: Final = 1
_MANY: Final = 20
"""So many look-ups of interfaces cost as much as reading all."""


def host_networks(own: Iterable[str], servers: Iterable[str] = ()) -> list[IPNetwork]:
    """Return the subnets that a new network must not hide; blocking.

    Args:
        own: the interfaces of the engine's networks, which do not count.
        servers: the addresses of the host's name servers.

    Returns:
        The subnets that the host has addresses in or routes to, and the name servers' addresses.
    """
    subnets = HostSubnets()
    try:
        return subnets.read(own, servers)
    finally:
        subnets.close()


class HostSubnets:
    """The subnets of the host, kept until they change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._monitor: AddressMonitor | None = None
        self._own: frozenset[str] = frozenset()
        self._own_indexes: set[int] = set()
        self._others: set[str] = set()
        """The names of all other interfaces."""
        self._found: list[IPNetwork] = []
        self.reads = 0
        """The number of times that they were read from the kernel."""

    def close(self) -> None:
        """Stop watching for changes; idempotent."""
        with self._lock:
            if self._monitor is not None:
                self._monitor.close()
                self._monitor = None

    def read(self, own: Iterable[str], servers: Iterable[str] = ()) -> list[IPNetwork]:
        """Return the subnets, as :func:`host_networks` does; blocking."""
        with self._lock, Netlink() as host:
            names = frozenset(own)
            if self._monitor is None:
                self._monitor = AddressMonitor()
                current = False
            else:
                current = self._is_current(host, names, self._monitor.read())
            if not current:
                self._read(host, names)
            self._own = names
            found = list(self._found)
        for server in servers:
            with contextlib.suppress(ValueError):  # an address with a zone is on a local link
                found.append(ip_network(server))
        return [n for n in found if not is_local(n)]

    def _is_current(self, host: Netlink, own: frozenset[str], changed: set[int] | None) -> bool:
        """Return whether nothing changed but on the engine's own interfaces."""
        removed = self._own - own
        if changed is None or not self._others.isdisjoint(own):
            return False
        unknown = changed - self._own_indexes
        if len(removed) + len(unknown) > _MANY:
            return False
        if any(host.link(name) is not None for name in removed):
            return False  # a bridge that a network had borrowed
        for index in unknown:
            link = host.link(index) if index else None
            if link is None or link.name not in own:
                return False
            self._own_indexes.add(index)
        return True

    def _read(self, host: Netlink, own: frozenset[str]) -> None:
        self.reads += 1
        links = host.links()
        self._own_indexes = {link.index for link in links if link.name in own}
        self._others = {link.name for link in links} - own
        found = [a.address.network for a in host.addresses() if a.index not in self._own_indexes]
        found += [
            r.destination
            for r in host.routes()
            if r.destination.prefixlen and r.index not in self._own_indexes and r.kind == _UNICAST
        ]
        self._found = [n for n in dict.fromkeys(found) if not is_local(n)]
