"""The names that a container can look up: those on the networks that it is on."""

from collections.abc import Iterator, Sequence

from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.table import NetworkTable


__all__ = ["SandboxNames"]


class SandboxNames:
    """Looks up names on the networks that a sandbox has at that moment."""

    def __init__(self, networks: NetworkTable, sandbox: SandboxRecord) -> None:
        self._networks = networks
        self._sandbox = sandbox

    def lookup(self, name: str) -> tuple[Sequence[str], Sequence[str]] | None:
        """Return the IPv4 and IPv6 addresses of a name; None for an unknown name.

        Args:
            name: in lower case, such as ``db``, an alias, a short id, or ``db.network``.
        """
        host, _, last = name.rpartition(".")
        for endpoint in self._sandbox.endpoints:
            network = self._networks.by_id(endpoint.network)
            if network is None:
                continue
            wanted = endpoint.links.get(name, name).lower()
            found = network.names.find(wanted)
            if found is None and host and last == network.name.lower():
                found = network.names.find(endpoint.links.get(host, host).lower())
            if found is not None:
                return found
        return None

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
