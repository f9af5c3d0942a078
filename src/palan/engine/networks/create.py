"""``POST /networks/create``.

All that can be refused is refused before anything is made.  Then the row is written as a
draft, the interface is made, and the row becomes a whole one; only then is the network
there.  A start of the engine removes drafts.
"""

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from palan.api.errors import Conflict, Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.networks import IPAMConfig, NetworkCreateRequest, NetworkCreateResponse
from palan.engine.networks.bridge import host_networks
from palan.engine.networks.drivers import Driver
from palan.engine.networks.network import PREDEFINED, Network
from palan.engine.networks.options import (
    ENABLE_IPV4,
    ENABLE_IPV6,
    flag,
    network_options,
)
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.remote_ipam import RemoteIpam, is_remote
from palan.engine.networks.subnets import add_pools, split_pools
from palan.engine.networks.validate import check_ipam
from palan.host.netlink import Netlink


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["bring_up", "create"]


async def create(engine: "Engine", body: NetworkCreateRequest) -> NetworkCreateResponse:
    """Create a network.

    Raises:
        InvalidParameter, Forbidden, NotFound, Conflict: as dockerd refuses it.
        InternalError: the machine refuses it.
    """
    record = _record(engine, body)
    networks = engine.networks
    if networks.named(record.name) is not None:
        raise Conflict(f"network with name {record.name} already exists")
    _check_configuration(body, record)
    if record.config_only:
        return await _create_configuration(engine, record, body)
    driver = await networks.find_driver(record.driver)
    asked = _settle(engine, record, (body.ipam.config if body.ipam else None) or [])
    known = await asyncio.to_thread(
        host_networks, networks.interfaces(), networks.resolvers.servers()
    )
    # From here on until it is among the others nothing is awaited: they can't collide.
    if networks.named(record.name) is not None:
        raise Conflict(f"network with name {record.name} already exists")
    driver.check(record, networks)
    network = Network(record, network_options(record))
    if not is_remote(network):
        add_pools(
            network,
            driver,
            asked,
            defaults=split_pools(engine),
            taken=networks.subnets_taken(),
            known=known,
        )
    record.draft = True
    networks.add(network)
    try:
        if is_remote(network):
            ipam = RemoteIpam(engine, record.ipam_driver)
            await ipam.request_pools(network, asked, wants_gateway=driver.wants_gateway)
        await bring_up(engine, network, driver)
    except BaseException:
        networks.discard(network)
        raise
    networks.publish("create", network)
    return NetworkCreateResponse(id=record.id)


async def _create_configuration(
    engine: "Engine", record: NetworkRecord, body: NetworkCreateRequest
) -> NetworkCreateResponse:
    """Create a network that only has settings for others to take."""
    record.ipam = list((body.ipam.config if body.ipam else None) or ())
    network = Network(record)
    engine.networks.add(network)
    try:
        await engine.networks.save(network)
    except BaseException:
        engine.networks.discard(network)
        raise
    engine.networks.publish("create", network)
    return NetworkCreateResponse(id=record.id)


def _record(engine: "Engine", body: NetworkCreateRequest) -> NetworkRecord:
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
        options = {**engine.config.default_network_opts.get(name, {}), **options}
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
    """Whether an IP version is wanted: the field, or else the option of that meaning."""
    if given is not None:
        options.pop(key, None)
        return given
    try:
        return flag(options, key, default=default)
    except InvalidParameter:
        raise InvalidParameter(f'driver-opt "{key}" is not a valid bool') from None


def _check_configuration(body: NetworkCreateRequest, record: NetworkRecord) -> None:
    """Refuse what configuration-only networks, and those that are based on one, can't have."""
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


def _settle(engine: "Engine", record: NetworkRecord, asked: list[IPAMConfig]) -> list[IPAMConfig]:
    """Refuse what no driver can have; returns the subnets that are asked for in the end."""
    if record.ingress:
        raise Forbidden("Ingress network can only be global scope network")
    if record.config_from:
        asked = _take_configuration(engine, record)
    if record.scope == "swarm":
        raise Forbidden("cannot create a swarm scoped network when swarm is not active")
    if record.driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{record.driver}" network is allowed')
    if record.ipam_driver == "null":
        for version, enabled in ((4, record.enable_ipv4), (6, record.enable_ipv6)):
            if enabled:
                raise InvalidParameter(f"ipv{version} pool is empty")
    return asked


def _take_configuration(engine: "Engine", record: NetworkRecord) -> list[IPAMConfig]:
    """Take the settings of a configuration-only network; returns its subnets."""
    source = engine.networks.named(record.config_from)
    if source is None or not source.record.config_only:
        raise NotFound(f'configuration network "{record.config_from}" does not exist')
    given = source.record
    record.enable_ipv4, record.enable_ipv6 = given.enable_ipv4, given.enable_ipv6
    record.labels = dict(given.labels)
    record.options = dict(given.options)
    record.ipam_driver, record.ipam_options = given.ipam_driver, given.ipam_options
    return given.ipam


# ---- the machine ------------------------------------------------------------------


async def bring_up(engine: "Engine", network: Network, driver: Driver) -> None:
    """Make what a new network needs, and write it down.

    Raises:
        InternalError: the machine refuses it; nothing of it is left then.
    """

    def prepare() -> None:
        with Netlink() as host:
            driver.prepare(host, network)

    def up() -> None:
        with Netlink() as host:
            driver.up(host, network)

    networks = engine.networks
    await asyncio.to_thread(prepare)
    try:
        await networks.save(network)
        try:
            await asyncio.to_thread(up)
        except OSError as error:
            raise InternalError(f"failed to create network {network.name}: {error}") from error
        await networks.firewall.network_up(network)
        network.record.draft = False
        await networks.save(network)
    except BaseException:
        network.record.draft = True
        with contextlib.suppress(OSError, InternalError):
            await networks.take_away(network, force=True)
        raise
