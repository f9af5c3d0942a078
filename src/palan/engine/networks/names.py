"""The DNS names of the endpoints on a network.

Several endpoints may have the same name, as containers may share an alias.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from palan.engine.networks.endpoint_records import EndpointRecord


__all__ = ["Addresses", "Names"]

Addresses = tuple[list[str], list[str]]
"""IPv4 and IPv6 addresses, in canonical form."""


class Names:
    """The names and addresses of the endpoints of one network; names in lower case."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, EndpointRecord]] = {}
        self._by_address: dict[str, EndpointRecord] = {}
        self._found: dict[str, Addresses] = {}
        """A cache of answers; cleared when anything changes."""

    def add(self, endpoint: EndpointRecord) -> None:
        """Add an endpoint under its names and addresses."""
        self._found.clear()
        for name in endpoint.dns_names:
            self._by_name.setdefault(name.lower(), {})[endpoint.id] = endpoint
        for address in _addresses(endpoint):
            self._by_address[address] = endpoint

    def discard(self, endpoint: EndpointRecord) -> None:
        """Drop an endpoint, with the names that it has now; idempotent."""
        self._found.clear()
        for name in endpoint.dns_names:
            owners = self._by_name.get(name.lower())
            if owners is not None:
                owners.pop(endpoint.id, None)
                if not owners:
                    del self._by_name[name.lower()]
        for address in _addresses(endpoint):
            if self._by_address.get(address) is endpoint:
                del self._by_address[address]

    def find(self, name: str) -> Addresses | None:
        """Return all addresses of a name in lower case; None for an unknown name.

        The lists must not be changed by the caller.
        """
        found = self._found.get(name)
        if found is None:
            owners = self._by_name.get(name)
            if owners is None:
                return None
            found4 = [e.address for e in owners.values() if e.address]
            found6 = [e.address6 for e in owners.values() if e.address6]
            found = self._found[name] = (found4, found6)
        return found

    def reverse(self, address: str) -> Sequence[str]:
        """Return the names of the endpoint with an address, the best first; empty without one."""
        endpoint = self._by_address.get(address)
        return endpoint.dns_names if endpoint else ()


def _addresses(endpoint: EndpointRecord) -> Iterable[str]:
    return (str(ip_address(a)) for a in (endpoint.address, endpoint.address6) if a)
