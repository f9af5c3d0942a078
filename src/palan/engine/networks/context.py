"""The state that the operations on networks share."""

from typing import Any

from palan.engine.config import EngineConfig
from palan.engine.networks.dns import NameServers
from palan.engine.networks.driver_table import DriverTable
from palan.engine.networks.drivers import Driver
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.firewall import Firewall
from palan.engine.networks.host_ports import HostPorts
from palan.engine.networks.host_resolvers import HostResolvers
from palan.engine.networks.host_subnets import HostSubnets
from palan.engine.networks.leases import Leases
from palan.engine.networks.network import Network
from palan.engine.networks.remote_ipam import RemoteIpam
from palan.engine.networks.surroundings import Members, Surroundings
from palan.engine.networks.table import NetworkTable


__all__ = ["NetworkContext"]


class NetworkContext:
    """The tables of the networks, and what they use of the engine.

    Attributes:
        surroundings: the engine.
        log: the engine's log.
        table: the networks.
        drivers: the network drivers.
        firewall: the firewall rules.
        ports: the bound ports of the host.
        resolvers: the host's DNS resolvers.
        host_subnets: the subnets that new networks must not hide.
        dns: the name servers of the containers.
        leases: what plugins have given to endpoints.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.log: Any = surroundings.log
        self.table = NetworkTable(surroundings.db)
        self.drivers = DriverTable(surroundings, self.table)
        self.firewall = Firewall(surroundings)
        self.ports = HostPorts()
        self.resolvers = HostResolvers()
        self.host_subnets = HostSubnets()
        self.dns = NameServers(surroundings, self.table, self.resolvers)
        self.leases = Leases(surroundings, self.table, self.drivers)

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now."""
        return self.surroundings.config

    @property
    def members(self) -> Members:
        """The containers."""
        return self.surroundings.containers

    def driver_of(self, endpoint: EndpointRecord) -> Driver | None:
        """Return the driver of an endpoint's network; None if the network no longer exists."""
        network = self.table.by_id(endpoint.network)
        return self.drivers.get(network.driver) if network else None

    def ipam(self, network: Network) -> RemoteIpam:
        """Return the IPAM plugin of a network."""
        surroundings = self.surroundings
        return RemoteIpam(network.record.ipam_driver, surroundings.drivers, surroundings.log)

    def publish(self, action: str, network: Network, container_id: str = "") -> None:
        """Publish an event about a network, or about a container on it."""
        kind = "null" if network.record.config_only else network.driver
        attributes = {"name": network.name, "type": kind}
        if container_id:
            attributes = {"container": container_id, **attributes}
        self.surroundings.events.publish("network", action, network.id, attributes)
