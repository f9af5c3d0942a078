"""A network in memory: its durable record, its address pools and its endpoints."""

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_network
from typing import Final

from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.ipam import AddressPool, IPNetwork
from palan.engine.networks.names import Names
from palan.engine.networks.options import BridgeOptions
from palan.engine.networks.record import NetworkRecord


__all__ = ["BUILT_IN", "PREDEFINED", "Network"]

PREDEFINED = ("bridge", "host", "none")
BUILT_IN: Final = ("bridge", "host", "null", "macvlan", "ipvlan")


class Network:
    """One network.

    Attributes:
        record: the durable part.
        options: the options of a bridge network; mostly defaults for other drivers.
        pools: the address pools of its subnets.
        endpoints: the endpoints by the ids of their containers.
        names: the DNS names of the endpoints.
        broken: the reason why it could not be brought up when the engine started; empty if it is.
    """

    def __init__(self, record: NetworkRecord, options: BridgeOptions | None = None) -> None:
        self.record = record
        self.options = options or BridgeOptions()
        self.pools: list[AddressPool] = []
        self.endpoints: dict[str, EndpointRecord] = {}
        self.names = Names()
        self.broken = ""

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name."""
        return self.record.name

    @property
    def driver(self) -> str:
        """The name of the driver."""
        return self.record.driver

    @property
    def internal(self) -> bool:
        """Whether it is internal: nothing outside is reached through it."""
        return self.record.internal

    @property
    def remote(self) -> bool:
        """Whether its driver is a plugin."""
        return self.record.driver not in BUILT_IN

    @property
    def closed(self) -> bool:
        """Whether only its own endpoints are reached through it."""
        without_parent = self.driver in ("macvlan", "ipvlan") and not self.record.options.get(
            "parent"
        )
        return self.record.internal or without_parent

    @property
    def routed_by_device(self) -> bool:
        """Whether packets to other networks leave through the interface, without a gateway."""
        record = self.record
        return record.driver == "ipvlan" and record.options.get("ipvlan_mode") in ("l3", "l3s")

    @property
    def predefined(self) -> bool:
        """Whether every engine has it: ``bridge``, ``host`` or ``none``."""
        return self.record.name in PREDEFINED

    @property
    def bridge(self) -> str:
        """The interface of a bridge network; empty for other drivers."""
        return self.record.interface if self.record.driver == "bridge" else ""

    @property
    def subnets(self) -> list[IPNetwork]:
        """All of its subnets."""
        return [pool.subnet for pool in self.pools]

    @property
    def gateway4(self) -> IPv4Interface | None:
        """The IPv4 gateway with the prefix length of its subnet; None without one."""
        found = (p.gateway for p in self.pools if isinstance(p.gateway, IPv4Interface))
        return next(found, None)

    @property
    def gateway6(self) -> IPv6Interface | None:
        """The IPv6 gateway with the prefix length of its subnet; None without one."""
        found = (p.gateway for p in self.pools if isinstance(p.gateway, IPv6Interface))
        return next(found, None)

    def pools_of(self, version: int) -> Iterator[AddressPool]:
        """Return the pools of one IP version."""
        return (pool for pool in self.pools if pool.subnet.version == version)

    def make_pools(self) -> None:
        """Make the pools from the record.

        Raises:
            Forbidden: the gateway's address can't be used by a host.
        """
        self.pools = []
        for kept in self.record.pools:
            allowed = ip_network(kept.range) if kept.range else None
            pool = AddressPool(ip_network(kept.subnet), allowed)
            pool.identifier = kept.identifier
            pool.reserve_fixed(kept.gateway, wants_gateway=False, auxiliary=kept.auxiliary)
            self.pools.append(pool)

    def add_endpoint(self, container_id: str, endpoint: EndpointRecord) -> None:
        """Add the endpoint of a container, and its names."""
        self.endpoints[container_id] = endpoint
        self.names.add(endpoint)

    def discard_endpoint(self, container_id: str) -> None:
        """Drop the endpoint of a container, and its names; idempotent."""
        endpoint = self.endpoints.pop(container_id, None)
        if endpoint is not None:
            self.names.discard(endpoint)
