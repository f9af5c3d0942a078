"""The names that a container can look up: those on the networks that it is on."""

from collections.abc import Iterator, Sequence

from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.names import Addresses
from palan.engine.networks.network import Network
from palan.engine.networks.table import NetworkTable


__all__ = ["SandboxNames"]


def _find(name: str, where: list[tuple[EndpointRecord, Network]]) -> Addresses | None:
    """Return the addresses of a name on some networks, first as an alias by a link."""
    for endpoint, network in where:
        linked = endpoint.links.get(name)
        if linked and (found := network.names.find(linked.lower())) is not None:
            return found
    for endpoint, network in where:
        if name not in endpoint.links and (found := network.names.find(name)) is not None:
            return found
    return None


class SandboxNames:
    """Looks up names on the networks that a sandbox has at that moment."""

    def __init__(self, networks: NetworkTable, sandbox: SandboxRecord) -> None:
        self._networks = networks
        self._sandbox = sandbox

    def lookup(self, name: str) -> tuple[Sequence[str], Sequence[str]] | None:
        """Return the IPv4 and IPv6 addresses of a name; None for an unknown name.

        Both parts of ``db.network`` may contain dots, too.  The name as a whole comes first, then
        the longest name of a container; aliases by links come before others.

        Args:
            name: in lower case, such as ``db``, an alias, a short id, or ``db.network``.
        """
        everywhere: list[tuple[EndpointRecord, Network]] = []
        named: list[tuple[str, EndpointRecord, Network]] = []
        for endpoint in self._sandbox.endpoints:
            network = self._networks.by_id(endpoint.network)
            if network is None:
                continue
            everywhere.append((endpoint, network))
            host = name.removesuffix(f".{network.name.lower()}")
            if host and host != name:
                named.append((host, endpoint, network))
        found = _find(name, everywhere)
        for host, endpoint, network in sorted(named, key=lambda found: -len(found[0])):
            if found is not None:
                break
            found = _find(host, [(endpoint, network)])
        return found

    def reverse(self, address: str) -> Iterator[str]:
        """Yield the names of an address: first with the network's name, such as ``db.mynet``.

        Names of containers and networks need not be valid in the DNS, so the names without the
        network's follow.
        """
        for endpoint in self._sandbox.endpoints:
            network = self._networks.by_id(endpoint.network)
            names = network.names.reverse(address) if network else ()
            if network is not None and names:
                yield from (f"{name}.{network.name}" for name in names)
                yield from names
                return
