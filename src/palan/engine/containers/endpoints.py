"""A container's networks as inspect and list show them."""

from palan.api.containers import EndpointSettings, PortBinding
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.record import ContainerRecord
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.port_parsing import Port, parse_exposed_ports, parse_port


__all__ = ["endpoint_settings", "exposed_now", "port_map"]


def endpoint_settings(
    context: ContainerContext, record: ContainerRecord, *, brief: bool = False
) -> dict[str, EndpointSettings]:
    """Return the settings of each endpoint: the requested ones, and those of its current network.

    Args:
        context: the context of the room.
        record: the container.
        brief: leave out names and aliases, as in a list.
    """
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    sandbox = record.sandbox
    now = {e.network_name: e for e in sandbox.endpoints} if sandbox else {}
    settings: dict[str, EndpointSettings] = {}
    for name, asked in record.endpoints.items():
        shown = EndpointSettings(
            ipam_config=asked.ipam_config,
            links=None if brief else asked.links,
            aliases=None if brief else asked.aliases,
            driver_opts=None if brief else asked.driver_opts,
            gw_priority=asked.gw_priority,
            network_id=(context.networks.id_of(name) or asked.network_id) if record.started else "",
            mac_address="" if record.started else asked.mac_address,
        )
        if (endpoint := now.get(name)) is not None:
            _add_operational(shown, endpoint)
            if brief:
                shown.dns_names = None
        settings[name] = shown
    return settings


def _add_operational(shown: EndpointSettings, endpoint: EndpointRecord) -> None:
    """Add the settings that an endpoint has while the container runs."""
    shown.network_id = endpoint.network
    shown.endpoint_id = endpoint.id
    shown.mac_address = endpoint.mac_address
    shown.gateway = endpoint.gateway
    shown.ip_address, shown.ip_prefix_len = endpoint.address, endpoint.prefix
    shown.ipv6_gateway = endpoint.gateway6
    shown.global_ipv6_address = endpoint.address6
    shown.global_ipv6_prefix_len = endpoint.prefix6
    shown.dns_names = endpoint.dns_names or None


def exposed_now(context: ContainerContext, record: ContainerRecord) -> list[Port]:
    """Return the exposed and published ports of a container that runs on a bridge.

    Other containers are shown without ports, as in dockerd.
    """
    endpoints = record.sandbox.endpoints if record.sandbox else ()
    networks = (context.networks.by_id(endpoint.network) for endpoint in endpoints)
    if not any(network is not None and network.bridge for network in networks):
        return []
    exposed = parse_exposed_ports(record.config.exposed_ports)
    return list(dict.fromkeys([*exposed, *map(parse_port, record.host_config.port_bindings)]))


def port_map(
    context: ContainerContext, record: ContainerRecord
) -> dict[str, list[PortBinding] | None]:
    """Return ``NetworkSettings.Ports``: published ports, and exposed ones with null."""
    if record.sandbox is None:
        return {}
    ports: dict[str, list[PortBinding] | None] = {
        str(port): None for port in exposed_now(context, record)
    }
    for port in record.sandbox.ports:
        key = f"{port.container_port}/{port.protocol}"
        bindings = ports.get(key) or []
        bindings.append(PortBinding(host_ip=port.host_ip, host_port=str(port.host_port or "")))
        ports[key] = bindings
    return ports
