"""A container's place on a network: its addresses, names and interface, before any cable.

Everything here happens in memory, and between two awaits where there is no external
driver, so that a network that somebody joins can't be removed at that moment.
"""

import secrets
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from palan.api.containers import EndpointIPAMConfig, EndpointSettings
from palan.api.errors import Conflict, InternalError, InvalidParameter
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.ipam import AddressPool, Exhausted, IPAddress
from palan.engine.networks.network import Network
from palan.engine.networks.port_parsing import PortMapping, parse_exposed_ports, published_ports
from palan.engine.networks.remote_ipam import is_remote
from palan.engine.networks.validate_endpoint import IFNAME, is_user_defined, parse_link


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["claim_endpoint", "dns_names", "join", "leave"]

_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}


async def join(
    engine: "Engine",
    container: "Container",
    sandbox: SandboxRecord,
    network: Network,
    settings: EndpointSettings,
) -> EndpointRecord:
    """Give a container its place on a network, in memory.

    Args:
        engine: the engine.
        container: the container; its lock is held.
        sandbox: its namespace; the endpoint is added to it.
        network: the network.
        settings: what was asked for there.

    Raises:
        Forbidden: the address is taken.
        InvalidParameter: it is none of the network's.
        Conflict: the interface's name is taken.
        InternalError: no address is left, or a plugin refuses.
    """
    endpoint = _endpoint(engine, container, sandbox, network, settings)
    asked = settings.ipam_config or EndpointIPAMConfig()
    if network.driver in ("host", "null"):
        endpoint.interface = ""
    else:
        _check_link_local(asked, endpoint)
        endpoint.mac_address = settings.mac_address
        if not is_remote(network):
            _assign_addresses(network, asked, endpoint)
            endpoint.mac_address = endpoint.mac_address or _mac(endpoint)
    # Before anything is awaited: now it can't be removed.
    network.join(container.id, endpoint)
    sandbox.endpoints.append(endpoint)
    if network.remote or is_remote(network):
        endpoint.mac_address = endpoint.mac_address or _mac(endpoint)
        await engine.networks.leases.take(network, endpoint, asked, name=container.name)
        network.names.add(endpoint)
    return endpoint


def _endpoint(
    engine: "Engine",
    container: "Container",
    sandbox: SandboxRecord,
    network: Network,
    settings: EndpointSettings,
) -> EndpointRecord:
    slot = min(set(range(len(sandbox.endpoints) + 1)) - {e.slot for e in sandbox.endpoints})
    named = is_user_defined(network.name)
    mappings = _mappings(container)
    endpoint = EndpointRecord(
        id=secrets.token_hex(32),
        network=network.id,
        network_name=network.name,
        slot=slot,
        priority=settings.gw_priority,
        internal=network.internal,
        options=dict(settings.driver_opts or {}),
        hairpin=bool(mappings),
        device_route=network.routed_by_device and not network.closed,
        dns_names=dns_names(container, settings.aliases) if named else [],
        links=_links(engine, container, network, settings),
        sandbox_key=sandbox.path,
    )
    if sandbox.path and network.driver != "null":
        endpoint.interface = _interface(container, network, endpoint, sandbox)
        endpoint.host_interface = host_interface(sandbox, slot)
    if network.remote:
        endpoint.plugin_options = _port_options(container, mappings)
    return endpoint


def _mappings(container: "Container") -> list[PortMapping]:
    config, host_config = container.record.config, container.record.host_config
    return published_ports(
        host_config.port_bindings, config.exposed_ports, publish_all=host_config.publish_all_ports
    )


def _port_options(container: "Container", mappings: Iterable[PortMapping]) -> dict[str, Any]:
    """The ports of a container as plugins are told of them: protocols are numbers there."""
    return {
        "com.docker.network.endpoint.exposedports": [
            {"Proto": _PROTOCOLS[port.protocol], "Port": port.number}
            for port in parse_exposed_ports(container.record.config.exposed_ports)
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
            for mapping in mappings
        ],
    }


def leave(network: Network | None, container_id: str, endpoint: EndpointRecord) -> None:
    """Give back what an endpoint has of its network; idempotent."""
    if network is None:
        return
    if network.endpoints.get(container_id) is endpoint:
        network.leave(container_id)
        if is_remote(network):
            return  # they are the plugin's, and given back with the lease
        for text in (endpoint.address, endpoint.address6):
            if text:
                address = ip_address(text)
                for pool in network.pools_of(address.version):
                    if address in pool.subnet:
                        pool.release(address)


def claim_endpoint(network: Network, container_id: str, endpoint: EndpointRecord) -> None:
    """Take back, when the engine starts, what an endpoint has had."""
    network.join(container_id, endpoint)
    if is_remote(network):
        return
    for text in (endpoint.address, endpoint.address6):
        if text:
            _claim(network, ip_address(text))


def host_interface(sandbox: SandboxRecord, slot: int) -> str:
    """The name of the host's end of a cable: it tells whose it is."""
    return f"{cable_prefix(sandbox.path)}{slot:02x}"


def cable_prefix(path: str) -> str:
    """How the names of all cables into the namespace at a path begin."""
    return f"veth{path.rpartition('/')[2][:9]}"


def dns_names(container: "Container", aliases: Iterable[str] | None) -> list[str]:
    """What others find a container by; the first is what its address is called."""
    record = container.record
    names = (container.name, *(aliases or ()), container.id[:12], record.config.hostname)
    return list(dict.fromkeys(name for name in names if name))


def _links(
    engine: "Engine", container: "Container", network: Network, settings: EndpointSettings
) -> dict[str, str]:
    """Aliases that the container itself uses for others, with a name that those keep."""
    if not is_user_defined(network.name):
        return {}
    host_config = container.record.host_config
    links = list(settings.links or ())
    if host_config.network_mode in (network.name, network.id):
        links += host_config.links or ()
    found = {}
    for name, alias in map(parse_link, links):
        other = engine.containers.registry.find(name)
        found[alias.lower()] = other.id[:12] if other is not None else name
    return found


def _interface(
    container: "Container", network: Network, endpoint: EndpointRecord, sandbox: SandboxRecord
) -> str:
    """What the interface is called in the container: as asked for, or the next number."""
    taken = {e.interface for e in sandbox.endpoints}
    asked = endpoint.options.get(IFNAME)
    if asked:
        if asked in taken or asked == "lo":
            raise Conflict(f"error renaming interface to {asked}: file exists")
        return asked
    # What is asked for on others of its networks is theirs, which may come later.
    taken |= {(s.driver_opts or {}).get(IFNAME, "") for s in container.record.endpoints.values()}
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
    network: Network, asked: EndpointIPAMConfig, endpoint: EndpointRecord
) -> None:
    done: list[tuple[AddressPool, IPAddress]] = []
    try:
        if network.record.enable_ipv4:
            pool, address = _address(network, 4, asked.ipv4_address)
            done.append((pool, address))
            endpoint.address, endpoint.prefix = str(address), pool.subnet.prefixlen
            endpoint.gateway = _gateway(network, pool)
        if network.record.enable_ipv6:
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
    """Where an endpoint in a subnet sends what is for others; empty for nowhere."""
    if network.closed or pool.gateway is None or network.routed_by_device:
        return ""
    # The engine's directives default-gateway come as these.
    other = pool.auxiliary.get(f"DefaultGatewayIPv{pool.subnet.version}")
    return str(other or pool.gateway.ip)


def _mac(endpoint: EndpointRecord) -> str:
    """One made of the address, which can't be in use twice."""
    if endpoint.address:
        packed = IPv4Address(endpoint.address).packed
    elif endpoint.address6:
        packed = IPv6Address(endpoint.address6).packed[-4:]
    else:
        packed = secrets.token_bytes(4)
    return f"02:42:{packed.hex(':')}"
