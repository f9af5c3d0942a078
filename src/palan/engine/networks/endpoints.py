"""Endpoints in memory: the addresses, names and interface name of a container on a network.

Without a plugin nothing here awaits, so a network can't be removed between the look-up and
the moment when the container is on it.
"""

import secrets
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from palan.api.containers import EndpointIPAMConfig, EndpointSettings
from palan.api.errors import Conflict, InternalError, InvalidParameter
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.ipam import AddressPool, Exhausted, IPAddress
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.networks.remote_ipam import is_remote
from palan.engine.networks.surroundings import Members
from palan.engine.networks.validate_endpoint import (
    IFNAME,
    disables_ipv6,
    is_user_defined,
    parse_link,
)


__all__ = [
    "adopt_endpoint",
    "create_endpoint",
    "discard_endpoint",
    "dns_names",
    "host_interface",
    "interface_prefix",
]

_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}


async def create_endpoint(
    context: NetworkContext,
    member: Member,
    sandbox: SandboxRecord,
    network: Network,
    settings: EndpointSettings,
) -> EndpointRecord:
    """Create a container's endpoint on a network, in memory.

    Args:
        context: the networks.
        member: the container; its lock is held.
        sandbox: its namespace; the endpoint is added to it.
        network: the network.
        settings: the settings asked for.

    Raises:
        Forbidden: the address is in use.
        InvalidParameter: the address does not belong to the network.
        Conflict: the name of the interface is in use.
        InternalError: no address is left, or a plugin refuses.
    """
    endpoint = _new_endpoint(context.members, member, sandbox, network, settings)
    asked = settings.ipam_config or EndpointIPAMConfig()
    if network.driver in ("host", "null"):
        endpoint.interface = ""
    else:
        _check_link_local(asked, endpoint)
        endpoint.mac_address = settings.mac_address
        if not (is_remote(network) or network.record.null_pools):
            ipv6 = member.ipv6 and not disables_ipv6(endpoint.options)
            if not ipv6:
                endpoint.link_local = [text for text in endpoint.link_local if ":" not in text]
            _assign_addresses(network, asked, endpoint, ipv6=ipv6)
            endpoint.mac_address = endpoint.mac_address or _mac(endpoint)
    # Added before the first await: from now on the network can't be removed.
    network.add_endpoint(member.id, endpoint)
    sandbox.endpoints.append(endpoint)
    if network.remote or is_remote(network):
        endpoint.mac_address = endpoint.mac_address or _mac(endpoint)
        await context.leases.reserve(network, endpoint, asked, name=member.name)
        network.names.add(endpoint)
    return endpoint


def _new_endpoint(
    members: Members,
    member: Member,
    sandbox: SandboxRecord,
    network: Network,
    settings: EndpointSettings,
) -> EndpointRecord:
    slot = min(set(range(len(sandbox.endpoints) + 1)) - {e.slot for e in sandbox.endpoints})
    named = is_user_defined(network.name)
    endpoint = EndpointRecord(
        id=secrets.token_hex(32),
        network=network.id,
        network_name=network.name,
        slot=slot,
        priority=settings.gw_priority,
        internal=network.internal,
        options=dict(settings.driver_opts or {}),
        hairpin=bool(member.mappings),
        device_route=network.routed_by_device and not network.closed,
        dns_names=dns_names(member, settings.aliases) if named else [],
        links=_links(members, member, network, settings),
        sandbox_key=sandbox.path,
    )
    if sandbox.path and network.driver != "null":
        endpoint.interface = _interface(member, network, endpoint, sandbox)
        endpoint.host_interface = host_interface(sandbox, slot)
    if network.remote:
        endpoint.plugin_options = _port_options(member)
    return endpoint


def _port_options(member: Member) -> dict[str, Any]:
    """Return the ports of a container as plugins expect them, with numbers for protocols."""
    return {
        "com.docker.network.endpoint.exposedports": [
            {"Proto": _PROTOCOLS[port.protocol], "Port": port.number}
            for port in member.exposed
            if port.protocol in _PROTOCOLS
        ],
        "com.docker.network.portmap": [
            {
                "Proto": _PROTOCOLS[mapping.protocol],
                "IP": "",
                "Port": mapping.container_port,
                "HostIP": mapping.host_ip,
                "HostPort": mapping.host_ports[0] if mapping.host_ports else 0,
                "HostPortEnd": mapping.host_ports[-1] if mapping.host_ports else 0,
            }
            for mapping in member.mappings
        ],
    }


def discard_endpoint(network: Network | None, container_id: str, endpoint: EndpointRecord) -> None:
    """Drop an endpoint from its network and release its addresses; idempotent."""
    if network is None:
        return
    if network.endpoints.get(container_id) is endpoint:
        network.discard_endpoint(container_id)
        if is_remote(network):
            return  # a plugin gave the addresses; they are released with the lease
        for text in (endpoint.address, endpoint.address6):
            if text:
                address = ip_address(text)
                for pool in network.pools_of(address.version):
                    if address in pool.subnet:
                        pool.release(address)


def adopt_endpoint(network: Network, container_id: str, endpoint: EndpointRecord) -> None:
    """Add an endpoint that existed before the engine started, and claim its addresses.

    Raises:
        Forbidden: an address is in use.
        InvalidParameter: an address does not belong to the network.
    """
    network.add_endpoint(container_id, endpoint)
    if is_remote(network):
        return
    for text in (endpoint.address, endpoint.address6):
        if text:
            _claim(network, ip_address(text))


def host_interface(sandbox: SandboxRecord, slot: int) -> str:
    """Return the name of the host's end of an endpoint's veth pair."""
    return f"{interface_prefix(sandbox.path)}{slot:02x}"


def interface_prefix(path: str) -> str:
    """Return the common prefix of the host's interfaces of the namespace at a path."""
    return f"veth{path.rpartition('/')[2][:9]}"


def dns_names(member: Member, aliases: Iterable[str] | None) -> list[str]:
    """Return the DNS names of a container; reverse look-ups give the first one."""
    names = (member.name, *(aliases or ()), member.id[:12], member.hostname)
    return list(dict.fromkeys(name for name in names if name))


def _links(
    members: Members, member: Member, network: Network, settings: EndpointSettings
) -> dict[str, str]:
    """Return the aliases that only this container can look up: each with the lasting name."""
    if not is_user_defined(network.name):
        return {}
    links = list(settings.links or ())
    if member.network_mode in (network.name, network.id):
        links += member.links
    return {
        alias.lower(): members.id_of(name)[:12] or name for name, alias in map(parse_link, links)
    }


def _interface(
    member: Member, network: Network, endpoint: EndpointRecord, sandbox: SandboxRecord
) -> str:
    """Return the name of the interface in the container: as asked for, or the next number."""
    taken = {e.interface for e in sandbox.endpoints}
    asked = endpoint.options.get(IFNAME)
    if asked:
        if asked in taken or asked == "lo":
            raise Conflict(f"error renaming interface to {asked}: file exists")
        return asked
    # Names that other endpoints ask for are kept free for them: they may be plugged in later.
    taken |= {(s.driver_opts or {}).get(IFNAME, "") for s in member.endpoints.values()}
    prefix = network.options.prefix
    number = 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def _check_link_local(asked: EndpointIPAMConfig, endpoint: EndpointRecord) -> None:
    for text in dict.fromkeys(asked.link_local_ips or ()):
        if not ip_address(text).is_link_local:
            raise InvalidParameter(f"invalid link local IP address: {text}")
        endpoint.link_local.append(text)


def _assign_addresses(
    network: Network, asked: EndpointIPAMConfig, endpoint: EndpointRecord, *, ipv6: bool
) -> None:
    done: list[tuple[AddressPool, IPAddress]] = []
    try:
        if network.record.enable_ipv4:
            pool, address = _address(network, 4, asked.ipv4_address)
            done.append((pool, address))
            endpoint.address, endpoint.prefix = str(address), pool.subnet.prefixlen
            endpoint.gateway = _gateway(network, pool)
        if network.record.enable_ipv6 and ipv6:
            pool, address = _address(network, 6, asked.ipv6_address)
            done.append((pool, address))
            endpoint.address6, endpoint.prefix6 = str(address), pool.subnet.prefixlen
            endpoint.gateway6 = _gateway(network, pool)
    except BaseException:
        for pool, address in done:
            pool.release(address)
        raise


def _address(network: Network, version: int, asked: str) -> tuple[AddressPool, IPAddress]:
    if asked:
        address = ip_address(asked)
        return _claim(network, address), address
    for pool in network.pools_of(version):
        try:
            return pool, pool.allocate()
        except Exhausted:
            continue
    raise InternalError(
        f"no available IPv{version} addresses on this network's address pools:"
        f" {network.name} ({network.id})"
    )


def _claim(network: Network, address: IPAddress) -> AddressPool:
    for pool in network.pools_of(address.version):
        if address in pool.subnet:
            pool.claim(address)
            return pool
    raise InvalidParameter(
        f"invalid address {address}: It does not belong to any of this network's subnets"
    )


def _gateway(network: Network, pool: AddressPool) -> str:
    """Return the gateway of an endpoint in a subnet; empty without one."""
    if network.closed or pool.gateway is None or network.routed_by_device:
        return ""
    # The engine's directives default-gateway are passed as these auxiliary addresses.
    other = pool.auxiliary.get(f"DefaultGatewayIPv{pool.subnet.version}")
    return str(other or pool.gateway.ip)


def _mac(endpoint: EndpointRecord) -> str:
    """Return a hardware address derived from the IP address, and thus unique on the network."""
    if endpoint.address:
        packed = IPv4Address(endpoint.address).packed
    elif endpoint.address6:
        packed = IPv6Address(endpoint.address6).packed[-4:]
    else:
        packed = secrets.token_bytes(4)
    return f"02:42:{packed.hex(':')}"
