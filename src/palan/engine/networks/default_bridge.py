"""The default bridge, whose settings follow from the engine's directives at each start."""

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network, ip_interface, ip_network

from palan.engine.config import EngineConfig
from palan.engine.networks.bridge import bridge_address
from palan.engine.networks.host_subnets import host_networks
from palan.engine.networks.ipam import IPNetwork, SplitPool, choose_subnet
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord, PoolRecord


__all__ = ["configure_default_bridge"]


async def configure_default_bridge(
    network: Network,
    config: EngineConfig,
    *,
    pools: Iterable[SplitPool],
    taken: Iterable[IPNetwork],
    resolvers: Iterable[str],
) -> None:
    """Set the default bridge's record to what the directives say.

    Args:
        network: the default bridge.
        config: the configuration.
        pools: the pools to choose subnets from.
        taken: the subnets of all networks.
        resolvers: the host's DNS resolvers, which no subnet may hide.
    """
    record, taken = network.record, list(taken)
    kept = list(record.pools)
    gateway = await _gateway(record, config, pools, taken, resolvers)
    record.interface, record.foreign = config.bridge_name, bool(config.bridge)
    record.options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": _boolean(config.icc),
        "com.docker.network.bridge.enable_ip_masquerade": _boolean(config.ip_masq),
        "com.docker.network.bridge.host_binding_ipv4": config.ip,
        "com.docker.network.bridge.name": config.bridge_name,
        "com.docker.network.driver.mtu": str(config.mtu),
    }
    record.pools = [
        PoolRecord(
            subnet=str(gateway.network),
            range=str(IPv4Network(config.fixed_cidr, strict=False)) if config.fixed_cidr else "",
            gateway=str(gateway.ip),
            auxiliary=_auxiliary(4, config.default_gateway, str(gateway.ip)),
        )
    ]
    record.enable_ipv6 = config.ipv6
    if config.ipv6:
        record.pools.append(_ipv6_pool(config, kept, pools, taken))
    record.gateway = ""


def _auxiliary(version: int, other: str, own: str) -> dict[str, str]:
    return {f"DefaultGatewayIPv{version}": other} if other and other != own else {}


def _boolean(value: bool) -> str:
    return "true" if value else "false"


async def _gateway(
    record: NetworkRecord,
    config: EngineConfig,
    pools: Iterable[SplitPool],
    taken: Iterable[IPNetwork],
    resolvers: Iterable[str],
) -> IPv4Interface:
    """Return the bridge's address: configured, the bridge's own, as last time, or a free one."""
    if config.bip:
        return IPv4Interface(config.bip)
    if config.bridge and (own := await asyncio.to_thread(bridge_address, config.bridge)):
        return own
    kept = next((p for p in record.pools if ":" not in p.subnet), None)
    if kept is not None:
        return IPv4Interface(f"{kept.gateway}/{kept.subnet.partition('/')[2]}")
    if record.gateway:
        return IPv4Interface(record.gateway)
    if config.fixed_cidr:
        subnet = IPv4Network(config.fixed_cidr, strict=False)
    else:
        known = await asyncio.to_thread(host_networks, {config.bridge_name}, resolvers)
        chosen = choose_subnet(pools, [*known, *taken])
        assert isinstance(chosen, IPv4Network)  # noqa: S101 - as was asked for
        subnet = chosen
    return IPv4Interface((subnet[1], subnet.prefixlen))


def _ipv6_pool(
    config: EngineConfig,
    before: Iterable[PoolRecord],
    pools: Iterable[SplitPool],
    taken: Iterable[IPNetwork],
) -> PoolRecord:
    if config.bip6:
        interface = ip_interface(config.bip6)
        subnet, gateway = str(interface.network), str(interface.ip)
    elif config.fixed_cidr_v6:
        network = ip_network(config.fixed_cidr_v6, strict=False)
        subnet, gateway = str(network), str(network[1])
    else:
        kept = next((p for p in before if ":" in p.subnet), None)
        if kept is not None:
            subnet, gateway = kept.subnet, kept.gateway
        else:
            chosen = choose_subnet(pools, taken, version=6)
            subnet, gateway = str(chosen), str(chosen[1])
    part = ip_network(config.fixed_cidr_v6, strict=False) if config.fixed_cidr_v6 else None
    return PoolRecord(
        subnet=subnet,
        range=str(part) if part is not None else "",
        gateway=gateway,
        auxiliary=_auxiliary(6, config.default_gateway_v6, gateway),
    )
