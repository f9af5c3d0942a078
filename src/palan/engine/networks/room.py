"""``engine.networks``: the networks of an engine and who is on them."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from palan.api.errors import Forbidden, InternalError, InvalidParameter, NotFound, PalanError
from palan.api.networks import (
    NetworkConnect,
    NetworkCreate,
    NetworkCreateResponse,
    NetworkDisconnect,
    NetworkInspect,
    NetworkInspectResponse,
    NetworkList,
    NetworkPrune,
    NetworkPruneResponse,
    NetworkRemove,
    NetworkSummary,
)
from palan.engine.networks.attachment import dns_names
from palan.engine.networks.bridge import BridgeDriver
from palan.engine.networks.create import create
from palan.engine.networks.describe import check_filters, company, describe, describe_fully, matches
from palan.engine.networks.dns import Dns
from palan.engine.networks.drivers import Driver
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.firewall import Firewall
from palan.engine.networks.host_ports import PublishedPorts
from palan.engine.networks.host_resolvers import HostResolvers
from palan.engine.networks.ipam import IPNetwork
from palan.engine.networks.leases import SCHEMA as LEASES
from palan.engine.networks.leases import Leases
from palan.engine.networks.load import load
from palan.engine.networks.network import Network
from palan.engine.networks.nothing import NoDriver
from palan.engine.networks.plumbing import Wanted
from palan.engine.networks.publish import move
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.remote import RemoteDriver
from palan.engine.networks.remote_ipam import RemoteIpam, is_remote
from palan.engine.networks.vlan import IpvlanDriver, MacvlanDriver
from palan.engine.until import made_before
from palan.host.netlink import Netlink
from palan.plugins import PluginFailure, PluginNotFound, PluginUnreachable
from palan.store.documents import Documents


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["SCHEMA", "Networks"]

_TABLE: Final = Documents("networks", NetworkRecord)
SCHEMA: Final = (*_TABLE.schema, *LEASES)


class Networks:
    """The networks of an engine, in the order of their creation."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._by_id: dict[str, Network] = {}
        self._by_name: dict[str, Network] = {}
        self._drivers: dict[str, Driver] = {
            driver.name: driver
            for driver in (
                BridgeDriver(engine.config),
                MacvlanDriver(engine.config, self),
                IpvlanDriver(engine.config, self),
                NoDriver("host"),
                NoDriver("null"),
            )
        }
        self.firewall = Firewall(engine)
        self.ports = PublishedPorts()
        self.resolvers = HostResolvers()
        self.dns = Dns(engine)
        self.leases = Leases(engine)

    def release(self) -> None:
        """Let go of what the engine holds for containers; the rules stay, and they go on."""
        self.dns.close()
        self.ports.close()
        self.firewall.close()

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._by_id.values()))

    # ---- state -------------------------------------------------------------------

    async def load(self, containers: Iterable["Container"], alive: Iterable["Container"]) -> None:
        """Read the rows, and bring everything up as it was.

        Args:
            containers: all containers: who has a sandbox has its addresses, even if it has
                ended, until it is put down.
            alive: those that run; their ports are in the rules from the first moment.
        """
        records = [record for _, record in _TABLE.load(self._engine.db)]
        await load(self._engine, records, containers, alive)

    async def save(self, network: Network) -> None:
        """Write the network's row; committed on return."""
        await _TABLE.put(self._engine.db, network.id, network.record)

    def add(self, network: Network) -> None:
        """Add a network under its id and name."""
        self._by_id[network.id] = network
        self._by_name[network.name] = network

    def discard(self, network: Network) -> None:
        """Forget a network; its row is not touched."""
        self._by_id.pop(network.id, None)
        if self._by_name.get(network.name) is network:
            del self._by_name[network.name]

    async def take_away(self, network: Network, *, force: bool = False) -> None:
        """Take away all that there is of a network, its row last; idempotent.

        Args:
            network: the network.
            force: go on even if its plugin answers that it can't remove it.

        Raises:
            OSError, PalanError: something stays, and so does the row.
        """
        await self.firewall.network_down(network)

        def down() -> None:
            with Netlink() as host:
                self.driver(network.driver).down(host, network)

        try:
            if not network.record.config_only:
                await asyncio.to_thread(down)
        except InternalError as error:
            refused = not isinstance(error.__cause__, PluginNotFound | PluginUnreachable)
            if not (force and refused):
                raise
        if is_remote(network):
            ipam = RemoteIpam(self._engine, network.record.ipam_driver)
            await ipam.release_pools(network)
        await _TABLE.delete(self._engine.db, network.id)

    # ---- look-up -----------------------------------------------------------------

    @property
    def default(self) -> Network | None:
        """The default bridge; None where there is none (``--bridge=none``)."""
        return self._by_name.get("bridge")

    @property
    def driver_names(self) -> list[str]:
        """The drivers that there are, in order of their names."""
        return sorted(self._drivers)

    def driver(self, name: str) -> Driver:
        """The driver of that name, which may be a plugin that is there or not."""
        return self._drivers.get(name) or self.remote_driver(name)

    def remote_driver(self, name: str) -> RemoteDriver:
        """The plugin of that name, whether it is there or not."""
        return RemoteDriver(self._engine, name)

    async def find_driver(self, name: str) -> Driver:
        """The driver of that name.

        Raises:
            NotFound: there is none; in dockerd's words.
            InternalError: there is a plugin, which does not answer.
        """
        if name not in self._drivers:
            try:
                await self._engine.drivers.get(name, "NetworkDriver")
            except PluginNotFound as failure:
                raise NotFound(failure.message) from None
            except PluginFailure as failure:
                raise InternalError(failure.message) from None
        return self.driver(name)

    def driver_of(self, endpoint: EndpointRecord) -> Driver | None:
        """The driver of an endpoint's network; None if that is gone."""
        network = self._by_id.get(endpoint.network)
        return self.driver(network.driver) if network else None

    def wiring(self, sandbox: SandboxRecord, *only: EndpointRecord) -> list[Wanted]:
        """What is to be plugged into a sandbox: everything, or some endpoints only."""
        found = []
        for endpoint in only or sandbox.endpoints:
            network, driver = self._by_id.get(endpoint.network), self.driver_of(endpoint)
            if network is not None and driver is not None:
                found.append((network, driver, endpoint))
        return found

    def named(self, name: str) -> Network | None:
        """The network of exactly that name, also one that is being made or removed."""
        return self._by_name.get(name)

    def by_id(self, network_id: str) -> Network | None:
        """The network of exactly that id, also one that is being made or removed."""
        return self._by_id.get(network_id)

    def resolve(self, reference: str) -> Network:
        """A network by id, name or the beginning of its id.

        Raises:
            NotFound: there is none.
            InvalidParameter: the beginning fits several.
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
        """Like :meth:`resolve`, with None where there is none; ``default`` is the bridge."""
        with contextlib.suppress(NotFound, InvalidParameter):
            return self.resolve("bridge" if reference == "default" else reference)
        return None

    def id_of(self, name: str) -> str:
        """The id of a network, empty if there is none."""
        network = self.find(name)
        return network.id if network else ""

    def subnets(self, name: str) -> list[IPNetwork] | None:
        """The subnets of a network; None if there is no such network."""
        network = self.find(name)
        return network.subnets if network else None

    def subnets_taken(self) -> list[IPNetwork]:
        """The subnets of all networks."""
        return [subnet for network in self._by_id.values() for subnet in network.subnets]

    def interfaces(self) -> set[str]:
        """The host's interfaces of networks."""
        return {n.bridge for n in self._by_id.values() if n.bridge}

    def is_on(self, container: "Container", wanted: str) -> bool:
        """Whether a container is on the network that is called ``wanted``, by name or id."""
        return bool(wanted) and any(
            name == wanted or self.id_of(name).startswith(wanted)
            for name in container.record.endpoints
        )

    def publish(self, action: str, network: Network, container_id: str = "") -> None:
        """Publish an event about a network, or a container on it."""
        kind = "null" if network.record.config_only else network.driver
        attributes = {"name": network.name, "type": kind}
        if container_id:
            attributes = {"container": container_id, **attributes}
        self._engine.events.publish("network", action, network.id, attributes)

    def publish_all(self, action: str, sandbox: SandboxRecord | None, container_id: str) -> None:
        """Publish an event about a container on each of its networks."""
        for endpoint in sandbox.endpoints if sandbox else ():
            network = self._by_id.get(endpoint.network)
            if network is not None:
                self.publish(action, network, container_id)

    def renamed(self, container: "Container") -> None:
        """Have a container be found by its new name."""
        sandbox = container.record.sandbox
        for endpoint in sandbox.endpoints if sandbox else ():
            network = self._by_id.get(endpoint.network)
            if network is not None and endpoint.dns_names:
                network.names.discard(endpoint)
                asked = container.record.endpoints.get(network.name)
                endpoint.dns_names = dns_names(container, asked.aliases if asked else None)
                network.names.add(endpoint)

    async def main_changed(
        self,
        container: "Container",
        sandbox: SandboxRecord,
        before: dict[int, EndpointRecord | None],
    ) -> None:
        """Have published ports lead to the endpoints that have the default routes now."""
        await move(self._engine, container, sandbox, before)

    # ---- operations --------------------------------------------------------------

    async def list(self, request: NetworkList) -> list[NetworkSummary]:
        """``GET /networks``."""
        dangling = check_filters(request.filters)
        found = []
        for network in self._by_id.values():
            if not network.record.draft and matches(network, request.filters, dangling=dangling):
                summary = describe(network, NetworkSummary)
                if request.containers:
                    summary.containers = company(self._engine, network)
                found.append(summary)
        return found

    async def inspect(self, request: NetworkInspect) -> NetworkInspectResponse:
        """``GET /networks/{id}``."""
        network = self.resolve(request.id)
        if request.scope and request.scope != network.record.scope:
            raise NotFound(f"network {request.id} not found")
        return describe_fully(self._engine, network, verbose=request.verbose)

    async def create(self, request: NetworkCreate) -> NetworkCreateResponse:
        """``POST /networks/create``."""
        return await create(self._engine, request.body)

    async def connect(self, request: NetworkConnect) -> None:
        """``POST /networks/{id}/connect``."""
        await self._engine.containers.connect_to_network(request.id, request.body)

    async def disconnect(self, request: NetworkDisconnect) -> None:
        """``POST /networks/{id}/disconnect``."""
        await self._engine.containers.disconnect_from_network(request.id, request.body)

    async def remove(self, request: NetworkRemove) -> None:
        """``DELETE /networks/{id}``."""
        await self.remove_network(self.resolve(request.id))

    async def remove_network(self, network: Network) -> None:
        """Remove a network that nobody is on.

        Raises:
            Forbidden: it is predefined, in use, or a configuration that others are based on.
            InternalError: the machine refuses it; it stays.
        """
        if network.predefined:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if network.record.config_only and any(
            n.record.config_from == network.name for n in self._by_id.values()
        ):
            raise Forbidden(
                f'error while removing network: configuration network "{network.name}" is in use'
            )
        if network.endpoints:
            names = ", ".join(self._endpoint_names(network))
            raise Forbidden(
                f"error while removing network: network {network.name} has active endpoints"
                f" ({names})"
            )
        record = network.record
        record.draft = True  # nobody finds it any more
        try:
            await self.save(network)
            await self.take_away(network)
        except BaseException as error:
            record.draft = False
            with contextlib.suppress(InternalError):
                await self.firewall.network_up(network)
                await self.save(network)
            if isinstance(error, OSError):
                raise InternalError(f"error while removing network: {error}") from error
            raise
        self.discard(network)
        if not record.config_only:
            self.publish("destroy", network)

    def _endpoint_names(self, network: Network) -> Iterator[str]:
        for container_id, endpoint in network.endpoints.items():
            container = self._engine.containers.registry.find(container_id)
            name = container.name if container else ""
            yield f'name:"{name}" id:"{endpoint.id[:12]}"'

    async def prune(self, request: NetworkPrune) -> NetworkPruneResponse:
        """``POST /networks/prune``."""
        filters = request.filters
        until = made_before(filters)
        deleted = []
        for network in self:
            if (
                network.predefined
                or network.endpoints
                or network.record.draft
                or network.record.config_only
                or not filters.labels(network.record.labels)
                or (until is not None and network.record.created > until)
            ):
                continue
            try:
                await self.remove_network(network)
            except PalanError as error:
                self._engine.log.warning(
                    "network stays", network=network.name, reason=error.message
                )
                continue
            deleted.append(network.name)
        self._engine.events.publish("network", "prune", "", {"reclaimed": "0"})
        return NetworkPruneResponse(networks_deleted=deleted or None)
