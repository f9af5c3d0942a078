"""The networks of an engine: their rows in the database, and look-up by id and name."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

from palan.api.errors import InvalidParameter, NotFound
from palan.engine.networks.ipam import IPNetwork
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.store.database import Database
from palan.store.documents import Documents


__all__ = ["SCHEMA", "NetworkTable"]

_ROWS: Final = Documents("networks", NetworkRecord)
SCHEMA: Final = _ROWS.schema


class NetworkTable:
    """All networks, in the order of their creation, drafts included."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_id: dict[str, Network] = {}
        self._by_name: dict[str, Network] = {}

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._by_id.values()))

    # ---- rows --------------------------------------------------------------------

    def rows(self) -> list[NetworkRecord]:
        """Read all rows, oldest first."""
        return [record for _, record in _ROWS.load(self._db)]

    async def save(self, network: Network) -> None:
        """Write a network's row; committed on return."""
        await _ROWS.put(self._db, network.id, network.record)

    async def delete(self, network: Network) -> None:
        """Delete a network's row; committed on return."""
        await _ROWS.delete(self._db, network.id)

    # ---- entries -----------------------------------------------------------------

    def add(self, network: Network) -> None:
        """Add a network under its id and name."""
        self._by_id[network.id] = network
        self._by_name[network.name] = network

    def discard(self, network: Network) -> None:
        """Drop a network from memory; its row stays as it is."""
        self._by_id.pop(network.id, None)
        if self._by_name.get(network.name) is network:
            del self._by_name[network.name]

    # ---- look-up -----------------------------------------------------------------

    @property
    def default(self) -> Network | None:
        """The default bridge; None without one (``--bridge=none``)."""
        return self._by_name.get("bridge")

    def named(self, name: str) -> Network | None:
        """Return the network of exactly that name, drafts included."""
        return self._by_name.get(name)

    def by_id(self, network_id: str) -> Network | None:
        """Return the network of exactly that id, drafts included."""
        return self._by_id.get(network_id)

    def resolve(self, reference: str) -> Network:
        """Return the network with this id, name or beginning of an id.

        Raises:
            NotFound: no network fits.
            InvalidParameter: several networks fit.
        """
        exact = self._by_id.get(reference) or self._by_name.get(reference)
        if exact is not None and not exact.record.draft:
            return exact
        matching = [
            n
            for n in self._by_id.values()
            if reference and n.id.startswith(reference) and not n.record.draft
        ]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise InvalidParameter(
                f"network {reference} is ambiguous"
                f" ({len(matching)} matches found based on ID prefix)"
            )
        raise NotFound(f"network {reference} not found")

    def find(self, reference: str) -> Network | None:
        """Return what :meth:`resolve` does, or None; ``default`` means the default bridge."""
        with contextlib.suppress(NotFound, InvalidParameter):
            return self.resolve("bridge" if reference == "default" else reference)
        return None

    def id_of(self, reference: str) -> str:
        """Return the id of the network that :meth:`find` finds; empty for None."""
        network = self.find(reference)
        return network.id if network else ""

    def is_listed(self, names: Iterable[str], wanted: str) -> bool:
        """Return whether a network, given by name or beginning of its id, is among ``names``."""
        return bool(wanted) and any(
            name == wanted or self.id_of(name).startswith(wanted) for name in names
        )

    # ---- resources in use ----------------------------------------------------------

    @property
    def subnets(self) -> list[IPNetwork]:
        """The subnets of all networks."""
        return [subnet for network in self._by_id.values() for subnet in network.subnets]

    @property
    def bridges(self) -> set[str]:
        """The names of all bridges in the host that belong to networks."""
        return {n.bridge for n in self._by_id.values() if n.bridge}
