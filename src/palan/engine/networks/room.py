"""``engine.networks``: the operations on networks, and what containers ask of their networks."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from palan.api.containers import EndpointSettings
from palan.api.errors import NotFound
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
from palan.engine.networks.attach import add_endpoint, plug_endpoint, remove_endpoint
from palan.engine.networks.bridge_repair import BridgeRepair
from palan.engine.networks.compatibility import check_compatible
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.create import create
from palan.engine.networks.describe import (
    check_filters,
    describe,
    describe_endpoints,
    inspect,
    matches,
)
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.endpoints import dns_names
from palan.engine.networks.firewall import Firewall
from palan.engine.networks.ipam import IPNetwork
from palan.engine.networks.leases import SCHEMA as LEASES
from palan.engine.networks.links import allow_links
from palan.engine.networks.load import load
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.networks.publish import adopt_ports
from palan.engine.networks.remove import remove_network, remove_networks
from palan.engine.networks.resolv_conf import resolv_conf
from palan.engine.networks.sandbox import create_sandbox, remove_sandbox, sweep_sandboxes
from palan.engine.networks.surroundings import Surroundings
from palan.engine.networks.table import SCHEMA as NETWORKS
from palan.engine.until import made_before


__all__ = ["SCHEMA", "Networks"]

SCHEMA: Final = (*NETWORKS, *LEASES)


class Networks:
    """The networks of an engine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._context = NetworkContext(surroundings)
        self._table = self._context.table
        self._repair = BridgeRepair(self._context)

    async def load(self, sandboxes: Mapping[str, SandboxRecord], running: Collection[str]) -> None:
        """Read the rows and restore all networks when the engine starts.

        Args:
            sandboxes: the sandboxes of all containers by their ids.
            running: the ids of the running containers.
        """
        await load(self._context, sandboxes, running)
        self._repair.start()

    def close(self) -> None:
        """Close name servers, sockets and proxies when the engine stops; the rules stay."""
        self._repair.close()
        self._context.dns.close()
        self._context.ports.close()
        self._context.firewall.close()
        self._context.host_subnets.close()

    # ---- look-up -----------------------------------------------------------------

    def __iter__(self) -> Iterator[Network]:
        return iter(self._table)

    @property
    def default(self) -> Network | None:
        """The default bridge; None without one (``--bridge=none``)."""
        return self._table.default

    @property
    def driver_names(self) -> list[str]:
        """The names of the built-in drivers, in alphabetical order."""
        return self._context.drivers.names

    @property
    def firewall(self) -> Firewall:
        """The firewall rules."""
        return self._context.firewall

    def by_id(self, network_id: str) -> Network | None:
        """Return the network of exactly that id, drafts included."""
        return self._table.by_id(network_id)

    def resolve(self, reference: str) -> Network:
        """Return the network with this id, name or beginning of an id.

        Raises:
            NotFound: no network fits.
            InvalidParameter: several networks fit.
        """
        return self._table.resolve(reference)

    def find(self, reference: str) -> Network | None:
        """Return what :meth:`resolve` does, or None; ``default`` means the default bridge."""
        return self._table.find(reference)

    def id_of(self, reference: str) -> str:
        """Return the id of the network that :meth:`find` finds; empty for None."""
        return self._table.id_of(reference)

    def subnets(self, reference: str) -> list[IPNetwork] | None:
        """Return the subnets of a network; None if there is no such network."""
        network = self._table.find(reference)
        return network.subnets if network else None

    def is_listed(self, names: Iterable[str], wanted: str) -> bool:
        """Return whether a network, given by name or beginning of its id, is among ``names``."""
        return self._table.is_listed(names, wanted)

    def check_compatible(self, mode: str, names: Iterable[str], network: Network) -> None:
        """Refuse a network that a container can't be on together with its present networks.

        Args:
            mode: the container's network mode.
            names: the networks that it is on.
            network: the additional network.

        Raises:
            InvalidParameter: in dockerd's words.
        """
        check_compatible(mode, (self._table.find(name) for name in names), network)

    @property
    def host_gateways(self) -> list[str]:
        """The addresses of the host that containers reach on every network."""
        if configured := self._context.config.host_gateway_ips:
            return list(configured)
        default = self._table.default
        gateways = (default.gateway4, default.gateway6) if default else ()
        return [str(gateway.ip) for gateway in gateways if gateway is not None]

    # ---- containers ----------------------------------------------------------------

    async def create_sandbox(self, member: Member) -> SandboxRecord | None:
        """Create the network namespace of a container that is about to start, with all in it.

        Returns:
            The sandbox; None if the container shares that of another container.

        Raises:
            PalanError: a network does not exist, an address or a port is in use.
        """
        return await create_sandbox(self._context, member)

    async def remove_sandbox(self, member: Member, sandbox: SandboxRecord) -> None:
        """Remove a sandbox, whole or half made; idempotent."""
        await remove_sandbox(self._context, member, sandbox)

    def sweep_sandboxes(self, sandboxes: Iterable[SandboxRecord]) -> None:
        """Remove namespaces and interfaces that belong to none of the sandboxes; blocking."""
        sweep_sandboxes(self._context.surroundings.paths.netns, sandboxes)

    async def adopt(self, member: Member) -> None:
        """Take over the ports, names and links of a container that has kept running."""
        if (sandbox := member.sandbox) is not None:
            await adopt_ports(self._context, member, sandbox)
            await self._context.dns.attach(member, sandbox, fresh=False)
            await allow_links(self._context, member, sandbox)

    async def allow_links(self, member: Member) -> None:
        """Update the rules that allow a running container to reach those it is linked to.

        Raises:
            InternalError: the rules were refused.
        """
        if member.sandbox is not None:
            await allow_links(self._context, member, member.sandbox)

    def resolv_conf(self, member: Member, *, embedded: bool | None = None) -> str:
        """Return the text of a container's ``resolv.conf``.

        Args:
            member: the container.
            embedded: whether it asks the engine's name server; None for what is so now.
        """
        return resolv_conf(
            self._context.resolvers.text(),
            member.dns.with_defaults(self._context.config),
            own_namespace=member.network_mode != "host",
            embedded=self._context.dns.has(member.id) if embedded is None else embedded,
        )

    def rename(self, member: Member) -> None:
        """Replace the DNS names of a container that has a new name."""
        for endpoint in member.sandbox.endpoints if member.sandbox else ():
            network = self._table.by_id(endpoint.network)
            if network is not None and endpoint.dns_names:
                network.names.discard(endpoint)
                asked = member.endpoints.get(network.name)
                endpoint.dns_names = dns_names(member, asked.aliases if asked else None)
                network.names.add(endpoint)

    async def add_endpoint(
        self, member: Member, sandbox: SandboxRecord, network: Network, settings: EndpointSettings
    ) -> EndpointRecord:
        """Create an endpoint for a running container, in memory: :meth:`plug_endpoint` follows.

        Raises:
            PalanError: an address or name is in use; nothing is left of the endpoint then.
        """
        return await add_endpoint(self._context, member, sandbox, network, settings)

    async def plug_endpoint(
        self,
        member: Member,
        sandbox: SandboxRecord,
        endpoint: EndpointRecord,
        before: Mapping[int, EndpointRecord | None],
    ) -> bool:
        """Make the interface of a new endpoint; move routes, ports and names to it.

        Args:
            member: the container.
            sandbox: its namespace.
            endpoint: the endpoint.
            before: the endpoints that had the default routes before, by IP version.

        Returns:
            Whether the container has a name server since now.

        Raises:
            PalanError: something failed; the caller has to remove the endpoint.
        """
        await plug_endpoint(self._context, member, sandbox, endpoint, before)
        dns = self._context.dns
        if dns.has(member.id):
            return False
        await dns.attach(member, sandbox, fresh=False)
        return dns.has(member.id)

    async def remove_endpoint(
        self, member: Member, sandbox: SandboxRecord, endpoint: EndpointRecord
    ) -> None:
        """Remove an endpoint, whole or half made, from a namespace that stays; idempotent."""
        await remove_endpoint(self._context, member, sandbox, endpoint)

    def publish(self, action: str, network: Network, container_id: str) -> None:
        """Publish an event about a container on a network."""
        self._context.publish(action, network, container_id)

    def publish_all(self, action: str, sandbox: SandboxRecord | None, container_id: str) -> None:
        """Publish an event about a container on each of its networks."""
        for endpoint in sandbox.endpoints if sandbox else ():
            network = self._table.by_id(endpoint.network)
            if network is not None:
                self._context.publish(action, network, container_id)

    # ---- operations --------------------------------------------------------------

    async def list(self, request: NetworkList) -> list[NetworkSummary]:
        """``GET /networks``."""
        dangling = check_filters(request.filters)
        found = []
        for network in self._table:
            if not network.record.draft and matches(network, request.filters, dangling=dangling):
                summary = describe(network, NetworkSummary)
                if request.containers:
                    summary.containers = describe_endpoints(network, self._context.members.name_of)
                found.append(summary)
        return found

    async def inspect(self, request: NetworkInspect) -> NetworkInspectResponse:
        """``GET /networks/{id}``."""
        network = self._table.resolve(request.id)
        if request.scope and request.scope != network.record.scope:
            raise NotFound(f"network {request.id} not found")
        return inspect(network, self._context.members.name_of, verbose=request.verbose)

    async def create(self, request: NetworkCreate) -> NetworkCreateResponse:
        """``POST /networks/create``."""
        return await create(self._context, request.body)

    async def connect(self, request: NetworkConnect) -> None:
        """``POST /networks/{id}/connect``, which changes the container's row."""
        await self._context.members.connect_to_network(request.id, request.body)

    async def disconnect(self, request: NetworkDisconnect) -> None:
        """``POST /networks/{id}/disconnect``, which changes the container's row."""
        await self._context.members.disconnect_from_network(request.id, request.body)

    async def remove(self, request: NetworkRemove) -> None:
        """``DELETE /networks/{id}``."""
        await remove_network(self._context, self._table.resolve(request.id))

    async def prune(self, request: NetworkPrune) -> NetworkPruneResponse:
        """``POST /networks/prune``."""
        filters = request.filters
        until = made_before(filters)
        unused = [
            network
            for network in self._table
            if not (
                network.predefined
                or network.endpoints
                or network.record.draft
                or network.record.config_only
                or not filters.labels(network.record.labels, together=True)
                or (until is not None and network.record.created > until)
            )
        ]
        deleted = [network.name for network in await remove_networks(self._context, unused)]
        self._context.surroundings.events.publish("network", "prune", "", {"reclaimed": "0"})
        return NetworkPruneResponse(networks_deleted=deleted or None)
