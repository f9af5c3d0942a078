"""Endpoints and ports of containers, and address management of networks."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = [
    "IPAM",
    "EndpointIPAMConfig",
    "EndpointSettings",
    "IPAMConfig",
    "NetworkingConfig",
    "PortBinding",
    "PortMap",
]


class PortBinding(Message):
    """The address on the host at which a container's port is published."""

    host_ip: str = ""
    host_port: str = ""
    """A port, a range such as ``8000-8010`` for its first free port, or empty for any free port."""


PortMap = dict[str, list[PortBinding] | None]
"""Bindings by ``port/protocol``; null for an exposed port that is not published."""


class EndpointIPAMConfig(Message, omit_defaults=True):
    """The requested addresses on one network."""

    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")
    link_local_ips: list[str] = field(name="LinkLocalIPs", default_factory=list)


class EndpointSettings(Message):
    """A container's endpoint on one network: the requested settings, and the actual ones."""

    ipam_config: EndpointIPAMConfig | None = field(name="IPAMConfig", default=None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    """The network with the highest priority has the container's default route."""

    network_id: str = field(name="NetworkID", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    gateway: str = ""
    ip_address: str = field(name="IPAddress", default="")
    mac_address: str = ""
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    dns_names: list[str] | None = field(name="DNSNames", default=None)


class NetworkingConfig(Message):
    """The networks of a new container, by name or id."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class IPAMConfig(Message, omit_defaults=True):
    """One pool of addresses of a network."""

    subnet: str = ""
    ip_range: str = field(name="IPRange", default="")
    """The part of the subnet from which addresses are allocated."""

    gateway: str = ""
    auxiliary_addresses: dict[str, str] | Unset = UNSET
    """Reserved addresses by host name."""


class IPAM(Message):
    """Address management of a network."""

    driver: str = ""
    options: dict[str, str] | None = None
    config: list[IPAMConfig] | None = None
