"""The network part of a container's row: its namespace, endpoints and published ports."""

from typing import Any

import msgspec


__all__ = ["EndpointRecord", "PortRecord", "SandboxRecord"]


class PortRecord(msgspec.Struct, kw_only=True):
    """A port of the host that leads to a port of the container."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str
    address: str = ""
    """The container's address on a routed network that does not have the default route; empty
    for the endpoint with the default route."""


class EndpointRecord(msgspec.Struct, kw_only=True):
    """The endpoint of a running container on one network."""

    id: str
    network: str
    """The network's id; ``network_name`` is its name."""
    network_name: str
    slot: int = 0
    """The number of the endpoint in its sandbox; the host's interface is named after it."""
    host_interface: str = ""
    """The name of the host's end of the veth pair; empty without one."""
    interface: str = ""
    """The name of the interface in the container; empty without one."""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac_address: str = ""
    link_local: list[str] = []
    dns_names: list[str] = []
    """The names under which others find it; reverse look-ups give the first one."""
    links: dict[str, str] = {}
    """Aliases that only this container can look up, each with the name that it stands for."""
    priority: int = 0
    """The endpoint with the highest priority has the default route."""
    internal: bool = False
    """Whether its network is internal: nothing outside is reached through it."""
    options: dict[str, str] = {}
    """The options for the network driver."""
    plugin_options: dict[str, Any] = {}
    """The container's ports, as plugins expect them."""
    sandbox_key: str = ""
    """The path of the namespace, for plugins."""
    routes: list[tuple[str, str]] = []
    """Further routes that a plugin wants: destination and gateway, which may be empty."""
    device_route: bool = False
    """Whether packets to other networks leave through the interface without a gateway."""
    hairpin: bool = False
    """Whether it has published ports, which it may itself reach at the host's address."""
    pending: bool = False
    """Whether it is being added or removed: the next start of the engine removes it then."""

    def reaches_other_networks(self, version: int) -> bool:
        """Whether other networks are reached through it, by IP version."""
        gateway, address = (
            (self.gateway, self.address) if version == 4 else (self.gateway6, self.address6)
        )
        return bool(gateway or (self.device_route and address))


class SandboxRecord(msgspec.Struct, kw_only=True):
    """The network namespace of a container, with its endpoints and published ports."""

    id: str
    path: str
    """The path at which the namespace is bind-mounted; empty for the host's own."""
    endpoints: list[EndpointRecord] = []
    ports: list[PortRecord] = []

    @property
    def address(self) -> str:
        """The primary IPv4 address of the container; empty without one."""
        main = self.main(4)
        if main is not None:
            return main.address
        return next((e.address for e in self.endpoints if e.address), "")

    def main(self, version: int) -> EndpointRecord | None:
        """Return the endpoint with the default route of an IP version; None without one."""
        leading = [e for e in self.endpoints if e.reaches_other_networks(version)]
        return min(leading, key=lambda e: (-e.priority, e.network_name), default=None)

    @property
    def main_endpoints(self) -> dict[int, EndpointRecord | None]:
        """The endpoints with the default routes, by IP version."""
        return {version: self.main(version) for version in (4, 6)}
