"""Leases: what plugins have given to endpoints, to be released even after a crash.

Addresses and endpoints of plugins can't be derived from the containers' rows.  So each lease is
saved before the container gets it, and at start those of no container are released.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from palan.api.containers import EndpointIPAMConfig
from palan.api.errors import PalanError
from palan.engine.networks.driver_table import DriverTable
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.remote_ipam import RemoteIpam, is_remote
from palan.engine.networks.surroundings import Surroundings
from palan.engine.networks.table import NetworkTable
from palan.store.documents import Documents


__all__ = ["SCHEMA", "Leases"]


class LeaseRecord(msgspec.Struct, kw_only=True):
    """The lease of one endpoint."""

    endpoint: str
    network: str
    driver: str = ""
    """The network plugin that may have made the endpoint; empty for a built-in driver."""
    ipam: str = ""
    """The IPAM plugin that gave the addresses; empty for the built-in one."""
    addresses: list[tuple[str, str]] = []
    """Pairs of a pool's id and an address of it."""


_TABLE: Final = Documents("network_leases", LeaseRecord)
SCHEMA: Final = _TABLE.schema


class Leases:
    """The leases of an engine, by the id of the endpoint."""

    def __init__(
        self, surroundings: Surroundings, networks: NetworkTable, drivers: DriverTable
    ) -> None:
        self._db = surroundings.db
        self._log = surroundings.log
        self._plugins = surroundings.drivers
        self._networks = networks
        self._drivers = drivers
        self._known: dict[str, LeaseRecord] = {}

    def _ipam(self, name: str) -> RemoteIpam:
        return RemoteIpam(name, self._plugins, self._log)

    async def reserve(
        self, network: Network, endpoint: EndpointRecord, asked: EndpointIPAMConfig, *, name: str
    ) -> None:
        """Request from plugins what an endpoint needs, and save what they have given.

        Args:
            network: the network.
            endpoint: the endpoint, which has a hardware address already.
            asked: the addresses that are asked for.
            name: the name of the container.

        Raises:
            PalanError: a plugin refuses.
        """
        lease = LeaseRecord(endpoint=endpoint.id, network=network.id)
        if network.remote:
            lease.driver = network.driver
        self._known[endpoint.id] = lease
        if is_remote(network):
            lease.ipam = network.record.ipam_driver
            ipam = self._ipam(lease.ipam)
            options = {
                "com.docker.network.endpoint.name": name,
                "com.docker.network.endpoint.macaddress": endpoint.mac_address,
            }
            for version, enabled in (
                (4, network.record.enable_ipv4),
                (6, network.record.enable_ipv6),
            ):
                if enabled:
                    await self._request(ipam, lease, network, endpoint, version, asked, options)
        await _TABLE.put(self._db, endpoint.id, lease)

    async def _request(  # noqa: PLR0917 - an address is requested with all of these
        self,
        ipam: RemoteIpam,
        lease: LeaseRecord,
        network: Network,
        endpoint: EndpointRecord,
        version: int,
        asked: EndpointIPAMConfig,
        options: Mapping[str, str],
    ) -> None:
        wanted = asked.ipv4_address if version == 4 else asked.ipv6_address
        pool, address = await ipam.request(network, version, wanted, options)
        lease.addresses.append((pool.identifier, str(address)))
        gateway = str(pool.gateway.ip) if pool.gateway and not network.closed else ""
        if version == 4:
            endpoint.address, endpoint.prefix = str(address), pool.subnet.prefixlen
            endpoint.gateway = gateway
        else:
            endpoint.address6, endpoint.prefix6 = str(address), pool.subnet.prefixlen
            endpoint.gateway6 = gateway

    async def release(self, endpoint_id: str) -> None:
        """Release the addresses of an endpoint and delete its lease; idempotent."""
        lease = self._known.pop(endpoint_id, None)
        if lease is None:
            return
        for pool, address in lease.addresses:
            await self._ipam(lease.ipam).release(pool, address)
        await _TABLE.delete(self._db, endpoint_id)

    async def load(self, used: Iterable[str]) -> None:
        """Read the rows, release leases of no container, and replay the others.

        Args:
            used: the ids of all existing endpoints.
        """
        for endpoint_id, lease in _TABLE.load(self._db):
            self._known[endpoint_id] = lease
        for endpoint_id in self._known.keys() - set(used):
            lease = self._known[endpoint_id]
            if lease.driver:
                endpoint = EndpointRecord(id=endpoint_id, network=lease.network, network_name="")
                await self._delete_endpoint(lease.driver, endpoint)
            try:
                await self.release(endpoint_id)
            except PalanError as error:
                self._log.warning("lease not released", reason=error.message)
        for network in self._networks:
            if is_remote(network) and not network.record.config_only:
                await self._replay(network)

    async def _replay(self, network: Network) -> None:
        """Request all leases of a network again, from a plugin that keeps no state itself."""
        addresses = [
            address
            for lease in self._known.values()
            if lease.network == network.id
            for address in lease.addresses
        ]
        try:
            await self._ipam(network.record.ipam_driver).replay(network, addresses)
        except PalanError as error:
            self._log.warning("leases not replayed", network=network.name, reason=error.message)

    async def _delete_endpoint(self, driver: str, endpoint: EndpointRecord) -> None:
        ids = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
        remote = self._drivers.remote(driver)
        for method in ("Leave", "DeleteEndpoint"):
            try:
                await remote.ask(method, ids)
            except PalanError as error:
                self._log.debug("plugin refused", method=method, reason=error.message)
