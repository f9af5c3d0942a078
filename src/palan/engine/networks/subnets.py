"""Choosing the subnets of a new network: those that were asked for, or free ones."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from palan.api.errors import Forbidden, InvalidParameter
from palan.api.networks import IPAMConfig
from palan.engine.config import EngineConfig
from palan.engine.networks.drivers import Driver
from palan.engine.networks.ipam import (
    DEFAULT_POOLS,
    AddressPool,
    Exhausted,
    IPNetwork,
    SplitPool,
    choose_subnet,
    private_pool,
)
from palan.engine.networks.network import Network
from palan.engine.networks.options import bridge_options
from palan.engine.networks.record import NetworkRecord, PoolRecord


__all__ = ["add_pools", "split_pools"]


def split_pools(config: EngineConfig, engine_id: str) -> list[SplitPool]:
    """Return the pools for subnets: the configured ones, or Docker's with an addition."""
    configured = [
        (ip_network(pool.base, strict=False), pool.size) for pool in config.default_address_pools
    ]
    pools: list[SplitPool] = [*configured]
    if not any(base.version == 4 for base, _ in pools):
        pools += DEFAULT_POOLS
    if not any(base.version == 6 for base, _ in pools):
        pools.append(private_pool(engine_id))
    return pools


def add_pools(
    network: Network,
    driver: Driver,
    asked: Iterable[IPAMConfig],
    *,
    defaults: Sequence[SplitPool],
    taken: Sequence[IPNetwork],
    known: Sequence[IPNetwork],
) -> None:
    """Give a new network its subnets, those that were asked for or free ones.

    Args:
        network: the network.
        driver: its driver.
        asked: the subnets that were asked for; those of an IP version that the network does
            not have are ignored.
        defaults: the pools to choose other subnets from.
        taken: the subnets of all networks.
        known: subnets that the host has or routes to; they may be asked for all the same.

    Raises:
        Forbidden: a subnet overlaps with one of another network.
        InvalidParameter: no subnet is free, or the gateway can't have its address.
    """
    record = network.record
    asked = list(asked)
    for version, enabled in ((4, record.enable_ipv4), (6, record.enable_ipv6)):
        if not enabled:
            continue
        wanted = [c for c in asked if _version(c) == version] or [IPAMConfig()]
        if len(wanted) > 1 and record.driver == "bridge":
            raise Forbidden("bridge driver doesn't support multiple subnets")
        for config in wanted:
            subnet = ip_network(config.subnet) if config.subnet else None
            if subnet is None or subnet.network_address.is_unspecified:
                prefix = subnet.prefixlen if subnet is not None else 0
                others = [*taken, *network.subnets, *known]
                subnet = choose_subnet(defaults, others, version=version, prefix=prefix)
            elif any(subnet.overlaps(o) for o in (*taken, *network.subnets) if _same(o, subnet)):
                raise Forbidden(
                    "invalid pool request: Pool overlaps with other one on this address space"
                )
            network.pools.append(_pool(record, driver, subnet, config))
    record.pools = [_pool_record(pool, asked) for pool in network.pools]


def _same(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version


def _version(config: IPAMConfig) -> int:
    return 6 if ":" in config.subnet else 4


def _pool(
    record: NetworkRecord, driver: Driver, subnet: IPNetwork, config: IPAMConfig
) -> AddressPool:
    allowed = ip_network(config.ip_range) if config.ip_range else None
    pool = AddressPool(subnet, allowed)
    wants = driver.wants_gateway and not _needs_no_gateway(record, subnet.version)
    auxiliary = dict(config.auxiliary_addresses or {})
    try:
        pool.reserve_fixed(config.gateway, wants_gateway=wants, auxiliary=auxiliary)
    except (Forbidden, Exhausted) as error:
        why = "no available addresses on this pool" if isinstance(error, Exhausted) else error
        raise InvalidParameter(f"failed to allocate gateway ({config.gateway}): {why}") from None
    return pool


def _needs_no_gateway(record: NetworkRecord, version: int) -> bool:
    if record.driver != "bridge":
        return False
    options = bridge_options(record.options, internal=record.internal)
    if version == 6:
        return options.gateway_mode_ipv6 == "isolated"
    inhibited = options.inhibit_ipv4 and record.internal
    return options.gateway_mode_ipv4 == "isolated" or inhibited


def _pool_record(pool: AddressPool, asked: Iterable[IPAMConfig]) -> PoolRecord:
    config = next((c for c in asked if c.subnet == str(pool.subnet)), IPAMConfig())
    return PoolRecord(
        subnet=str(pool.subnet),
        range=config.ip_range,
        gateway=str(pool.gateway.ip) if pool.gateway else "",
        auxiliary={name: str(address) for name, address in pool.auxiliary.items()},
    )
