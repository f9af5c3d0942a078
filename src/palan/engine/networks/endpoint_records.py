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


class EndpointRecord(msgspec.Struct, kw_only=True):
    """A container's place on one network, while it runs."""

    id: str
    network: str
    """The network's id; ``network_name`` is its name."""
    network_name: str
    slot: int = 0
    """What tells the endpoints of a sandbox apart, and their interfaces in the host."""
    host_interface: str = ""
    """The host's end of the cable; empty where there is none."""
    interface: str = ""
    """The interface in the container; empty for none."""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac_address: str = ""
    link_local: list[str] = []
    dns_names: list[str] = []
    """What others find it by, the first one first in reverse look-ups."""
    links: dict[str, str] = {}
    """What the container itself calls others on this network: alias to name."""
    priority: int = 0
    """The endpoint with the highest one has the default route."""
    internal: bool = False
    """Its network leads nowhere else."""
    options: dict[str, str] = {}
    """The driver's."""
    plugin_options: dict[str, Any] = {}
    """What a plugin is told about the container's ports."""
    sandbox_key: str = ""
    """Where the namespace is, for a plugin."""
    routes: list[tuple[str, str]] = []
    """Further routes that a plugin wants: where to, and by which host; empty for none."""
    device_route: bool = False
    """What is for others goes out without a gateway."""
    hairpin: bool = False
    """It has published ports, which it may reach itself by the host's address."""
    pending: bool = False
    """It is being plugged in or out: a start of the engine that finds it so takes it away."""

    def leads_on(self, version: int) -> bool:
        """Whether others than those on the network are reached through it."""
        gateway, address = (
            (self.gateway, self.address) if version == 4 else (self.gateway6, self.address6)
        )
        return bool(gateway or (self.device_route and address))


class SandboxRecord(msgspec.Struct, kw_only=True):
    """The network namespace that a container is in and what is plugged into it."""

    id: str
    path: str
    """Where the namespace is bind-mounted; empty for the host's own."""
    endpoints: list[EndpointRecord] = []
    ports: list[PortRecord] = []

    @property
    def address(self) -> str:
        """The IPv4 address that the container is known by; empty for none."""
        main = self.main(4)
        if main is not None:
            return main.address
        return next((e.address for e in self.endpoints if e.address), "")

    def main(self, version: int) -> EndpointRecord | None:
        """The endpoint with the default route of that IP version; None if none has one."""
        leading = [e for e in self.endpoints if e.leads_on(version)]
        return min(leading, key=lambda e: (-e.priority, e.network_name), default=None)
