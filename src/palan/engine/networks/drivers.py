"""The interface of network drivers, which make networks and endpoints of their kind."""

from collections.abc import Iterable
from typing import Protocol

from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host.netlink import Netlink


__all__ = ["Driver"]


class Driver(Protocol):
    """A network driver.  All methods but :meth:`check` block and run in a thread."""

    name: str
    wants_gateway: bool
    """Whether a network gets a gateway even if the request names none."""

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Refuse invalid settings, and choose the interface, without looking at the machine."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """Check the machine, before the network's row is written and anything is made."""

    def up(self, host: Netlink, network: Network) -> None:
        """Make what the network needs in the host; what exists already is kept."""

    def down(self, host: Netlink, network: Network) -> None:
        """Remove what :meth:`up` has made; idempotent."""

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Make the interface of an endpoint in a namespace, down and without addresses."""

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Remove that interface from the namespace at a path, which stays; idempotent."""
