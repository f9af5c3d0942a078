"""The drivers ``host`` and ``null``, whose networks have no interface of their own."""

from collections.abc import Iterable

from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host.netlink import Netlink


__all__ = ["NullDriver"]


class NullDriver:
    """Creates nothing: the namespace is the host's, or has its loopback interface only."""

    wants_gateway = False

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Accept every network."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """Do nothing."""

    def up(self, host: Netlink, network: Network) -> None:
        """Do nothing."""

    def down(self, host: Netlink, network: Network) -> None:
        """Do nothing."""

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Do nothing."""

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Do nothing."""
