"""What a container may know of others: the names on the networks that it is on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from palan.engine.networks.endpoint_records import SandboxRecord


if TYPE_CHECKING:
    from palan.engine.networks.room import Networks


__all__ = ["SandboxNames"]


class SandboxNames:
    """Looks names up on the networks of one sandbox, as it is at that moment."""

    def __init__(self, networks: "Networks", sandbox: SandboxRecord) -> None:
        self._networks = networks
        self._sandbox = sandbox

    def lookup(self, name: str) -> tuple[Sequence[str], Sequence[str]] | None:
        """The IPv4 and IPv6 addresses of a name; None where it is not known.

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
        """The names of who has an address, with that of the network, such as ``db.mynet``.

        What containers and networks are called need not be a name for the DNS, so the last
        ones are without that of the network.
        """
        for endpoint in self._sandbox.endpoints:
            network = self._networks.by_id(endpoint.network)
            names = network.names.reverse(address) if network else ()
            if network is not None and names:
                yield from (f"{name}.{network.name}" for name in names)
                yield from names
                return
