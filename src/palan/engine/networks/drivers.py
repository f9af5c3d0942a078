"""What a network driver is: how networks and endpoints of its kind are made."""

from collections.abc import Iterable
from typing import Protocol

from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host.netlink import Netlink


__all__ = ["Driver"]


class Driver(Protocol):
    """A network driver.  All but :meth:`check` block, and are run in a thread."""

    name: str
    wants_gateway: bool
    """Whether a network gets a gateway of its own if it names none."""

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Refuse what can't be, and decide on the interface; without looking at the machine."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """Look at the machine, before the network's row is written and anything is made."""

    def up(self, host: Netlink, network: Network) -> None:
        """Make what a network needs of the host; what is there already stays."""

    def down(self, host: Netlink, network: Network) -> None:
        """Take that away again; idempotent."""

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Make the interface of an endpoint in a namespace, down and without addresses."""

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Take it away from the namespace at a path, which stays; idempotent."""
