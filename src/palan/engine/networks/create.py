"""``POST /networks/create``.

Invalid requests are refused before anything is made.  Then the row is saved as a draft, the
interface is made, and the row is saved as complete; from then on look-ups find the network.
The next start of the engine removes drafts.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable, Mapping

from palan.api.errors import Conflict, Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.networks import IPAMConfig, NetworkCreateRequest, NetworkCreateResponse
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.drivers import Driver
from palan.engine.networks.network import BUILT_IN, PREDEFINED, Network
from palan.engine.networks.options import (
    ENABLE_IPV4,
    ENABLE_IPV6,
    flag,
    network_options,
)
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.remote_ipam import is_remote
from palan.engine.networks.remove import remove_resources
from palan.engine.networks.subnets import add_pools, split_pools
from palan.engine.networks.table import NetworkTable
from palan.engine.networks.validate_ipam import check_ipam
from palan.host.netlink import Netlink


__all__ = ["create"]


async def create(context: NetworkContext, body: NetworkCreateRequest) -> NetworkCreateResponse:
    """Create a network.

    Raises:
        InvalidParameter, Forbidden, NotFound, Conflict: in dockerd's words.
        InternalError: the machine or a plugin refuses.
    """
    record = _record(body, context.config.default_network_opts)
    table = context.table
    if table.named(record.name) is not None:
        raise Conflict(f"network with name {record.name} already exists")
    _check_configuration(body, record)
    if record.config_only:
        return await _create_configuration(context, record, body)
    driver = await context.drivers.find(record.driver)
    asked = _requested_subnets(table, record, (body.ipam.config if body.ipam else None) or [])
    known = await asyncio.to_thread(
        context.host_subnets.read, table.bridges, context.resolvers.servers()
    )
    # Nothing is awaited from here until the network is in the table: no two can collide.
    if table.named(record.name) is not None:
        raise Conflict(f"network with name {record.name} already exists")
    driver.check(record, table)
    network = Network(record, network_options(record))
    if not (is_remote(network) or record.null_pools):
        add_pools(
            network,
            driver,
            asked,
            defaults=split_pools(context.config, context.surroundings.id),
            taken=table.subnets,
            known=known,
        )
    record.draft = True
    table.add(network)
    try:
        if is_remote(network):
            ipam = context.ipam(network)
            await ipam.request_pools(network, asked, wants_gateway=driver.wants_gateway)
        await _bring_up(context, network, driver)
    except BaseException:
        table.discard(network)
        raise
    return NetworkCreateResponse(id=record.id)


async def _create_configuration(
    context: NetworkContext, record: NetworkRecord, body: NetworkCreateRequest
) -> NetworkCreateResponse:
    """Create a network that only holds settings for other networks."""
    record.ipam = list((body.ipam.config if body.ipam else None) or ())
    network = Network(record)
    context.table.add(network)
    try:
        context.publish("create", network)  # in the transaction that saves the row
        await context.table.save(network)
    except BaseException:
        context.table.discard(network)
        raise
    return NetworkCreateResponse(id=record.id)


def _record(body: NetworkCreateRequest, defaults: Mapping[str, Mapping[str, str]]) -> NetworkRecord:
    """Return the record of a network that is asked for.

    Args:
        body: the request.
        defaults: default options by driver.
    """
    if body.name in (*PREDEFINED, "default"):
        raise Forbidden(f"operation is not permitted on predefined {body.name} network ")
    name = body.driver or "bridge"
    if name == "overlay":
        raise Forbidden(
            'This node is not a swarm manager. Use "docker swarm init" or'
            ' "docker swarm join" to connect this node to swarm and try again.'
        )
    options = dict(body.options or {})
    if body.config_from is None:
        options = {**defaults.get(name, {}), **options}
    ipam = body.ipam
    record = NetworkRecord(
        id=secrets.token_hex(32),
        name=body.name,
        driver=name,
        created=time.time_ns(),
        scope=body.scope or "local",
        enable_ipv4=_enabled(options, ENABLE_IPV4, body.enable_ipv4, default=True),
        enable_ipv6=_enabled(options, ENABLE_IPV6, body.enable_ipv6, default=False),
        internal=body.internal,
        attachable=body.attachable,
        ingress=body.ingress,
        config_only=body.config_only,
        config_from=body.config_from.network if body.config_from else "",
        options=options,
        labels=dict(body.labels or {}),
        ipam_driver=(ipam.driver if ipam else "") or "default",
        ipam_options=ipam.options if ipam else None,
    )
    if ipam is not None:
        check_ipam(ipam.config or (), enable_ipv6=record.enable_ipv6)
    if not record.name.strip():
        raise InvalidParameter("invalid name: name is empty")
    return record


def _enabled(options: dict[str, str], key: str, given: bool | None, *, default: bool) -> bool:
    """Return whether an IP version is enabled: by the field, or else by the driver option."""
    if given is not None:
        options.pop(key, None)
        return given
    try:
        return flag(options, key, default=default)
    except InvalidParameter:
        raise InvalidParameter(f'driver-opt "{key}" is not a valid bool') from None


def _check_configuration(body: NetworkCreateRequest, record: NetworkRecord) -> None:
    """Refuse settings that a configuration-only network, or one based on it, can't have."""
    if record.config_only and (
        record.ingress or record.internal or record.attachable or body.scope
    ):
        raise Forbidden(
            "configuration network can only contain network specific fields. Network operator"
            " fields like [ ingress | internal | attachable | scope ] are not supported."
        )
    if not record.config_from:
        return
    if record.config_only:
        raise Forbidden("a configuration network cannot depend on another configuration network")
    ipam = body.ipam
    if (
        record.ipam_driver != "default"
        or not record.enable_ipv4
        or record.enable_ipv6
        or record.labels
        or (ipam is not None and (ipam.options or ipam.config))
    ):
        raise Forbidden(
            "user-specified configurations are not supported if the network depends on a"
            " configuration network"
        )
    if record.options:
        raise Forbidden(
            "network driver options are not supported if the network depends on a"
            " configuration network"
        )


def _requested_subnets(
    table: NetworkTable, record: NetworkRecord, asked: list[IPAMConfig]
) -> list[IPAMConfig]:
    """Refuse settings that no driver supports, and return the subnets that are asked for."""
    if record.ingress:
        raise Forbidden("Ingress network can only be global scope network")
    if record.config_from:
        asked = _apply_configuration(table, record)
    if record.scope == "swarm":
        raise Forbidden("cannot create a swarm scoped network when swarm is not active")
    if record.driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{record.driver}" network is allowed')
    if record.ipam_driver == "null":
        _check_null_ipam(record, asked)
    return asked


def _check_null_ipam(record: NetworkRecord, asked: Iterable[IPAMConfig]) -> None:
    """Refuse subnets of the IPAM driver ``null``, and drivers that need addresses."""
    for config in asked:
        for given, kind in ((config.subnet, "pool"), (config.ip_range, "subpool")):
            if given:
                raise InvalidParameter(
                    f"null ipam driver does not handle specific address {kind} requests"
                )
    if record.driver in BUILT_IN:
        for version in record.null_pools:
            raise InvalidParameter(f"ipv{version} pool is empty")


def _apply_configuration(table: NetworkTable, record: NetworkRecord) -> list[IPAMConfig]:
    """Copy the settings of a configuration-only network, and return its subnets."""
    source = table.named(record.config_from)
    if source is None or not source.record.config_only:
        raise NotFound(f'configuration network "{record.config_from}" does not exist')
    given = source.record
    record.enable_ipv4, record.enable_ipv6 = given.enable_ipv4, given.enable_ipv6
    record.labels = dict(given.labels)
    record.options = dict(given.options)
    record.ipam_driver, record.ipam_options = given.ipam_driver, given.ipam_options
    return given.ipam


async def _bring_up(context: NetworkContext, network: Network, driver: Driver) -> None:
    """Make what a new network needs on the machine, and save its row.

    Raises:
        InternalError: the machine refuses; nothing stays of the network then.
    """

    def prepare() -> None:
        with Netlink() as host:
            driver.prepare(host, network)

    def up() -> None:
        with Netlink() as host:
            driver.up(host, network)

    table = context.table
    await asyncio.to_thread(prepare)
    try:
        await table.save(network)
        try:
            await asyncio.to_thread(up)
        except OSError as error:
            raise InternalError(f"failed to create network {network.name}: {error}") from error
        await context.firewall.add_network(network)
        network.record.draft = False
        context.publish("create", network)  # in the transaction that saves the row
        await table.save(network)
    except BaseException:
        network.record.draft = True
        with contextlib.suppress(OSError, InternalError):
            await remove_resources(context, network, force=True)
        raise
