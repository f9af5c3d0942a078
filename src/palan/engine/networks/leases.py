"""What plugins have given for endpoints and must have back, whatever becomes of the engine.

A plugin's addresses and endpoints do not follow from what the engine has in memory, so
each is written down before a container has it; what no container has is given back at a start.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from palan.api.containers import EndpointIPAMConfig
from palan.api.errors import PalanError
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.remote_ipam import RemoteIpam, is_remote
from palan.store.documents import Documents


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["SCHEMA", "Leases"]


class LeaseRecord(msgspec.Struct, kw_only=True):
    """What plugins have given for one endpoint."""

    endpoint: str
    network: str
    driver: str = ""
    """The network driver that may have made the endpoint; empty for one of the engine's own."""
    ipam: str = ""
    """The IPAM driver that gave the addresses; empty for the engine itself."""
    addresses: list[tuple[str, str]] = []
    """Of which pool, and which."""


_TABLE: Final = Documents("network_leases", LeaseRecord)
SCHEMA: Final = _TABLE.schema


class Leases:
    """The leases of an engine, by the id of the endpoint."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._known: dict[str, LeaseRecord] = {}

    async def take(
        self, network: Network, endpoint: EndpointRecord, asked: EndpointIPAMConfig, *, name: str
    ) -> None:
        """Have plugins give an endpoint what it needs, and write down what they have given.

        Args:
            network: the network.
            endpoint: the endpoint; it has a hardware address.
            asked: the addresses that are asked for.
            name: of the container.

        Raises:
            PalanError: a plugin refuses.
        """
        lease = LeaseRecord(endpoint=endpoint.id, network=network.id)
        if network.remote:
            lease.driver = network.driver
        self._known[endpoint.id] = lease
        if is_remote(network):
            lease.ipam = network.record.ipam_driver
            ipam = RemoteIpam(self._engine, lease.ipam)
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
        await _TABLE.put(self._engine.db, endpoint.id, lease)

    async def _request(  # noqa: PLR0917 - what an address is asked for with
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

    async def give_back(self, endpoint_id: str) -> None:
        """Give addresses back, and forget the lease; idempotent."""
        lease = self._known.pop(endpoint_id, None)
        if lease is None:
            return
        for pool, address in lease.addresses:
            await RemoteIpam(self._engine, lease.ipam).release(pool, address)
        await _TABLE.delete(self._engine.db, endpoint_id)

    async def load(self, used: Iterable[str]) -> None:
        """Read the rows; give back what no container has, and tell plugins that forget.

        Args:
            used: the ids of all endpoints that there are.
        """
        for endpoint_id, lease in _TABLE.load(self._engine.db):
            self._known[endpoint_id] = lease
        for endpoint_id in self._known.keys() - set(used):
            lease = self._known[endpoint_id]
            if lease.driver:
                endpoint = EndpointRecord(id=endpoint_id, network=lease.network, network_name="")
                await self._let_go(lease.driver, endpoint)
            try:
                await self.give_back(endpoint_id)
            except PalanError as error:
                self._engine.log.warning("lease not given back", reason=error.message)
        for network in self._engine.networks:
            if is_remote(network) and not network.record.config_only:
                await self._replay(network)

    async def _replay(self, network: Network) -> None:
        """Tell a plugin that forgets what it has given for a network."""
        addresses = [
            address
            for lease in self._known.values()
            if lease.network == network.id
            for address in lease.addresses
        ]
        try:
            await RemoteIpam(self._engine, network.record.ipam_driver).replay(network, addresses)
        except PalanError as error:
            self._engine.log.warning("plugin not told", network=network.name, reason=error.message)

    async def _let_go(self, driver: str, endpoint: EndpointRecord) -> None:
        ids = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
        remote = self._engine.networks.remote_driver(driver)
        for method in ("Leave", "DeleteEndpoint"):
            try:
                await remote.ask(method, ids)
            except PalanError as error:
                self._engine.log.debug("plugin did not let go", method=method, reason=error.message)
