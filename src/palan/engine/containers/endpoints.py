"""A container's networks as inspect and list show them."""

from typing import TYPE_CHECKING

from palan.api.containers import EndpointSettings, PortBinding
from palan.engine.containers.record import ContainerRecord


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["endpoint_settings", "port_map"]


def endpoint_settings(
    engine: "Engine", record: ContainerRecord, *, brief: bool = False
) -> dict[str, EndpointSettings]:
    """What was asked for on each network, with what the container has there now.

    Args:
        engine: the engine.
        record: the container.
        brief: as in a list, where names and aliases are left out.
    """
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    settings: dict[str, EndpointSettings] = {}
    for name, asked in record.endpoints.items():
        settings[name] = EndpointSettings(
            ipam_config=None if brief else asked.ipam_config,
            links=None if brief else asked.links,
            aliases=None if brief else asked.aliases,
            driver_opts=asked.driver_opts,
            gw_priority=asked.gw_priority,
            network_id=engine.networks.id_of(name) if record.started else "",
        )
    sandbox = record.sandbox
    if sandbox is not None and sandbox.network and mode in settings:
        now = settings[mode]
        now.endpoint_id = sandbox.endpoint
        now.gateway = sandbox.gateway
        now.ip_address = sandbox.address
        now.mac_address = sandbox.mac_address
        now.ip_prefix_len = sandbox.prefix
    return settings


def port_map(record: ContainerRecord) -> dict[str, list[PortBinding] | None]:
    """``NetworkSettings.Ports``: published ports, and exposed ones with null, while it runs."""
    if record.sandbox is None:
        return {}
    ports: dict[str, list[PortBinding] | None] = dict.fromkeys(record.config.exposed_ports or {})
    for port in record.sandbox.ports:
        key = f"{port.container_port}/{port.protocol}"
        bindings = ports.get(key) or []
        bindings.append(PortBinding(host_ip=port.host_ip, host_port=str(port.host_port)))
        ports[key] = bindings
    return ports
