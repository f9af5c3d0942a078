"""The drivers ``host`` and ``null``: networks without anything of their own."""

from collections.abc import Iterable

from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host.netlink import Netlink


__all__ = ["NoDriver"]


class NoDriver:
    """Makes nothing: the namespace is the host's, or has only its loopback interface."""

    wants_gateway = False

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Nothing can be wrong."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """There is nothing to look at."""

    def up(self, host: Netlink, network: Network) -> None:
        """There is nothing to make."""

    def down(self, host: Netlink, network: Network) -> None:
        """There is nothing to take away."""

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """There is no interface."""

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """There is no interface."""
