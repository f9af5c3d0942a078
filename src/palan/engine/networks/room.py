"""``engine.networks``: the networks of an engine and who is on them."""

import asyncio
import contextlib
import secrets
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Final, TypeVar

from palan.api import Filters
from palan.api.errors import Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.networks import (
    IPAM,
    EndpointResource,
    IPAMConfig,
    IPAMStatus,
    Network,
    NetworkInspect,
    NetworkInspectResponse,
    NetworkList,
    NetworkPrune,
    NetworkPruneResponse,
    NetworkRemove,
    NetworkStatus,
    NetworkSummary,
    SubnetStatus,
)
from palan.engine.containers.container import Container, go_time
from palan.engine.networks.bridge import bridge_address, bring_up, host_subnets, write_rules
from palan.engine.networks.ipam import AddressPool, choose_subnet
from palan.engine.networks.ports import PublishedPorts
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.rules import Publication, add_ports, delete_ports
from palan.engine.until import made_before
from palan.host import nftables
from palan.store.documents import Documents


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["SCHEMA", "Networks"]

_TABLE: Final = Documents("networks", NetworkRecord)
SCHEMA: Final = _TABLE.schema

DRIVERS: Final = {"bridge": "bridge", "host": "host", "none": "null"}
FILTERS: Final = ("dangling", "driver", "id", "label", "name", "scope", "type")

N = TypeVar("N", bound=Network)


def _word(value: bool) -> str:
    return "true" if value else "false"


class Networks:
    """The networks of an engine: for now the three that every engine has."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._by_name: dict[str, NetworkRecord] = {}
        self.ports = PublishedPorts()
        self.pool: AddressPool | None = None
        """Addresses of the default bridge; None where there is none (``--bridge=none``)."""
        self.rules = False
        """Whether published ports are redirected by nftables."""
        self._redirected: dict[str, list[Publication]] = {}
        """What the rules redirect, by the container's id."""
        self._rules_lock = asyncio.Lock()

    # ---- state -------------------------------------------------------------------

    async def load(self, redirected: dict[str, list[Publication]], addresses: list[str]) -> None:
        """Read the rows, bring the bridge up and write the rules.

        Args:
            redirected: ports of the containers that run, by their ids, to be in the rules
                from the first moment.
            addresses: the addresses that containers have.
        """
        for _, record in _TABLE.load(self._engine.db):
            self._by_name[record.name] = record
        for name, driver in DRIVERS.items():
            if name not in self._by_name:
                record = NetworkRecord(
                    id=secrets.token_hex(32), name=name, driver=driver, created=time.time_ns()
                )
                await self._save(record)
        config = self._engine.config
        if config.bridge == "none":
            del self._by_name["bridge"]  # its row stays, for when it is wanted again
            return
        gateway = await self._gateway()
        self.pool = AddressPool(
            gateway, IPv4Network(config.fixed_cidr) if config.fixed_cidr else None
        )
        for address in addresses:
            with contextlib.suppress(Forbidden):  # the bridge has another subnet than it had
                self.pool.claim(IPv4Address(address))
        self._redirected = redirected
        self.rules = await asyncio.to_thread(bring_up, config, gateway, self._publications())
        if not self.rules:
            self._engine.log.warning(
                "no nftables: published TCP ports are carried by the engine, others are refused"
            )

    async def _gateway(self) -> IPv4Interface:
        """The default bridge's address: configured, its own, as last time, or a free one."""
        record = self._by_name["bridge"]
        config = self._engine.config
        if config.bip:
            gateway = IPv4Interface(config.bip)
        elif config.bridge and (own := await asyncio.to_thread(bridge_address, config.bridge)):
            gateway = own
        elif record.gateway:
            return IPv4Interface(record.gateway)
        else:
            taken = await asyncio.to_thread(host_subnets, config.bridge_name)
            subnet = choose_subnet(taken)
            gateway = IPv4Interface((subnet[1], subnet.prefixlen))
        record.gateway = str(gateway)
        await self._save(record)
        return gateway

    # ---- rules of published ports --------------------------------------------------

    def _publications(self) -> list[Publication]:
        return [p for publications in self._redirected.values() for p in publications]

    async def redirect(self, container_id: str, publications: list[Publication]) -> None:
        """Have packets to published ports go to a container.

        Raises:
            InternalError: the rules were refused.
        """
        if not self.rules or self.pool is None:
            return
        config = self._engine.config
        async with self._rules_lock:
            self._redirected[container_id] = publications
            try:
                await asyncio.to_thread(nftables.run, add_ports(config.table_name, publications))
            except nftables.NftError as error:
                # Somebody flushed the table, or what an engine that was killed had begun
                # to change came after we had looked.
                self._engine.log.warning("all rules are written anew", reason=error.message)
                await self._write_all()
            except OSError as error:
                raise InternalError(f"unable to redirect ports: {error}") from error

    async def _write_all(self) -> None:
        assert self.pool is not None  # noqa: S101 - without one there are no rules
        try:
            await asyncio.to_thread(
                write_rules, self._engine.config, self.pool.gateway, self._publications()
            )
        except (nftables.NftError, OSError) as error:
            raise InternalError(f"unable to redirect ports: {error}") from error

    async def redirect_no_more(self, container_id: str) -> None:
        """Take the rules of a container's ports back; idempotent."""
        if not self.rules or not self._redirected.get(container_id):
            return
        table = self._engine.config.table_name
        async with self._rules_lock:
            publications = self._redirected.pop(container_id, [])
            try:
                await asyncio.to_thread(nftables.run, delete_ports(table, publications))
            except nftables.NftError as error:
                # Somebody flushed the table, or the start failed before the rules were made.
                self._engine.log.debug(
                    "no rules to delete", container=container_id, reason=error.message
                )

    async def _save(self, record: NetworkRecord) -> None:
        await _TABLE.put(self._engine.db, record.id, record)
        self._by_name[record.name] = record

    # ---- for containers ----------------------------------------------------------

    def resolve(self, reference: str) -> NetworkRecord:
        """A network by name, id or the beginning of its id.

        Raises:
            NotFound: there is none.
            InvalidParameter: the beginning fits several.
        """
        if reference in self._by_name:
            return self._by_name[reference]
        matches = [n for n in self._by_name.values() if reference and n.id.startswith(reference)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InvalidParameter(
                f"network {reference} is ambiguous"
                f" ({len(matches)} matches found based on ID prefix)"
            )
        raise NotFound(f"network {reference} not found")

    def id_of(self, name: str) -> str:
        """The id of the network of that name, empty if there is none."""
        record = self._by_name.get(name)
        return record.id if record else ""

    def subnets(self, name: str) -> list[IPv4Network] | None:
        """The subnets of a network; None if there is no such network."""
        record = self._by_name.get("bridge" if name == "default" else name)
        if record is None:
            return None
        return [IPv4Interface(record.gateway).network] if record.gateway else []

    def names(self, container: Container, wanted: str) -> bool:
        """Whether a container is on the network that is called ``wanted``, by name or id."""
        return any(
            name == wanted or (self.id_of(name).startswith(wanted) and bool(wanted))
            for name in container.record.endpoints
        )

    def publish(self, action: str, network_id: str, container_id: str) -> None:
        """Publish an event about a container on a network."""
        for record in self._by_name.values():
            if record.id == network_id:
                attributes = {
                    "container": container_id,
                    "name": record.name,
                    "type": record.driver,
                }
                self._engine.events.publish("network", action, network_id, attributes)

    # ---- operations --------------------------------------------------------------

    async def list(self, request: NetworkList) -> list[NetworkSummary]:
        """``GET /networks``."""
        filters = request.filters
        filters.accept(*FILTERS)
        wanted_type = filters.get("type")
        if any(kind not in ("builtin", "custom") for kind in wanted_type):
            raise InvalidParameter(f"invalid filter: 'type'='{wanted_type[0]}'")
        try:
            wants_dangling = filters.boolean("dangling", default=False)
        except InvalidParameter:
            raise InvalidParameter(
                'invalid value for filter \'dangling\', must be "true" (or "1"),'
                ' or "false" (or "0")'
            ) from None
        return [
            self._describe(record, NetworkSummary)
            for record in self._by_name.values()
            if self._selected(record, filters, wants_dangling=wants_dangling)
        ]

    def _selected(self, record: NetworkRecord, filters: Filters, *, wants_dangling: bool) -> bool:
        return (
            filters.exact("driver", record.driver)
            and filters.exact("scope", "local")
            and filters.exact("type", "builtin")
            and filters.labels({})
            and filters.matches("id", record.id.startswith)
            and filters.matches("name", lambda part: part in record.name)
            # The predefined networks are never called dangling.
            and not wants_dangling
        )

    async def inspect(self, request: NetworkInspect) -> NetworkInspectResponse:
        """``GET /networks/{id}``."""
        record = self.resolve(request.id)
        answer = self._describe(record, NetworkInspectResponse)
        answer.containers = {
            container.id: EndpointResource(
                name=container.name,
                endpoint_id=sandbox.endpoint,
                mac_address=sandbox.mac_address,
                ipv4_address=f"{sandbox.address}/{sandbox.prefix}" if sandbox.address else "",
            )
            for container in self._engine.containers.registry
            if (sandbox := container.record.sandbox) and sandbox.network == record.id
        }
        answer.status = NetworkStatus()
        if record.gateway and self.pool is not None:
            size = self.pool.subnet.num_addresses
            status = SubnetStatus(
                ips_in_use=self.pool.taken, dynamic_ips_available=size - self.pool.taken
            )
            answer.status = NetworkStatus(ipam=IPAMStatus(subnets={str(self.pool.subnet): status}))
        return answer

    def _describe(self, record: NetworkRecord, kind: type[N]) -> N:
        answer = kind(
            name=record.name,
            id=record.id,
            created=go_time(record.created),
            driver=record.driver,
            enable_ipv4=True,
            ipam=IPAM(driver="default", options=None, config=None),
        )
        if record.gateway and self.pool is not None:
            config = self._engine.config
            gateway = self.pool.gateway
            answer.ipam.config = [
                IPAMConfig(
                    subnet=str(gateway.network),
                    ip_range=config.fixed_cidr,
                    gateway=str(gateway.ip),
                )
            ]
            answer.options = {
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": _word(config.icc),
                "com.docker.network.bridge.enable_ip_masquerade": _word(config.ip_masq),
                "com.docker.network.bridge.host_binding_ipv4": config.ip,
                "com.docker.network.bridge.name": config.bridge_name,
                "com.docker.network.driver.mtu": str(config.mtu),
            }
        return answer

    async def remove(self, request: NetworkRemove) -> None:
        """``DELETE /networks/{id}``.

        Raises:
            Forbidden: it is one of the predefined networks.
        """
        record = self.resolve(request.id)
        raise Forbidden(f"{record.name} is a pre-defined network and cannot be removed")

    async def prune(self, request: NetworkPrune) -> NetworkPruneResponse:
        """``POST /networks/prune``: predefined networks are never pruned."""
        request.filters.accept("label", "label!", "until")
        made_before(request.filters)
        return NetworkPruneResponse(networks_deleted=None)
