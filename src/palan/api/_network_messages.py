"""Networks in requests, and as shown by list and inspect."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._network_types import IPAM, EndpointSettings


__all__ = [
    "ConfigReference",
    "EndpointResource",
    "IPAMStatus",
    "Network",
    "NetworkConnectRequest",
    "NetworkCreateRequest",
    "NetworkCreateResponse",
    "NetworkDisconnectRequest",
    "NetworkInspectResponse",
    "NetworkPruneResponse",
    "NetworkStatus",
    "NetworkSummary",
    "NetworkTaskInfo",
    "PeerInfo",
    "ServiceInfo",
    "SubnetStatus",
]


class ConfigReference(Message):
    """The configuration-only network with the settings of a network."""

    network: str = ""


class PeerInfo(Message):
    """A node of an overlay network."""

    name: str = ""
    ip: str = field(name="IP", default="")


class Network(Message):
    """The information about a network that both list and inspect show."""

    name: str = ""
    id: str = ""
    created: str = "0001-01-01T00:00:00Z"
    scope: str = "local"
    """``local``, ``swarm`` or ``global``."""

    driver: str = ""
    enable_ipv4: bool = field(name="EnableIPv4", default=True)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ipam: IPAM = field(name="IPAM", default_factory=IPAM)
    internal: bool = False
    """Whether the network has no access to other networks."""

    attachable: bool = False
    """Whether containers may connect to it, not only tasks."""

    ingress: bool = False
    """Whether it carries the swarm's routing mesh."""

    config_from: ConfigReference = field(default_factory=ConfigReference)
    config_only: bool = False
    options: dict[str, str] | None = field(default_factory=dict)
    labels: dict[str, str] | None = field(default_factory=dict)
    peers: list[PeerInfo] | Unset = UNSET


class EndpointResource(Message):
    """A container on a network."""

    name: str = ""
    endpoint_id: str = field(name="EndpointID", default="")
    mac_address: str = ""
    ipv4_address: str = field(name="IPv4Address", default="")
    """The address with the prefix length."""

    ipv6_address: str = field(name="IPv6Address", default="")
    """The address with the prefix length."""


class NetworkTaskInfo(Message):
    """A task on an overlay network."""

    name: str = ""
    endpoint_id: str = field(name="EndpointID", default="")
    endpoint_ip: str = field(name="EndpointIP", default="")
    info: dict[str, str] | None = None


class ServiceInfo(Message):
    """A service on an overlay network."""

    vip: str = field(name="VIP", default="")
    ports: list[str] | None = None
    local_lb_index: int = field(name="LocalLBIndex", default=0)
    tasks: list[NetworkTaskInfo] | None = None


class SubnetStatus(Message):
    """The usage of a subnet."""

    ips_in_use: int = field(name="IPsInUse", default=0)
    """The number of addresses in use, including the network's own."""

    dynamic_ips_available: int = field(name="DynamicIPsAvailable", default=0)


class IPAMStatus(Message):
    """The usage of the subnets of a network."""

    subnets: dict[str, SubnetStatus] | Unset = UNSET


class NetworkStatus(Message):
    """The state of a network that changes without a request."""

    ipam: IPAMStatus = field(name="IPAM", default_factory=IPAMStatus)


class NetworkSummary(Network):
    """A network in a list."""

    containers: dict[str, EndpointResource] | Unset = UNSET
    """Running containers by id; only on request."""


class NetworkInspectResponse(Network):
    """Detailed information about a network (NetworkInspect in Docker's description)."""

    containers: dict[str, EndpointResource] = field(default_factory=dict)
    """Running containers by id."""

    services: dict[str, ServiceInfo] | Unset = UNSET
    """Services by name; only with ``verbose``."""

    status: NetworkStatus | Unset = UNSET


class NetworkCreateRequest(Message):
    """A network to create."""

    name: str = ""
    driver: str = ""
    """The driver; ``bridge`` by default, ``overlay`` in the scope of a swarm."""

    scope: str = ""
    enable_ipv4: bool | None = field(name="EnableIPv4", default=None)
    """The engine's setting by default."""

    enable_ipv6: bool | None = field(name="EnableIPv6", default=None)
    """The engine's setting by default."""

    ipam: IPAM | None = field(name="IPAM", default=None)
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    """Options of the driver."""

    labels: dict[str, str] | None = None


class NetworkCreateResponse(Message):
    """The new network."""

    id: str
    warning: str = ""


class NetworkConnectRequest(Message):
    """A container to connect to a network."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnectRequest(Message):
    """A container to disconnect from a network."""

    container: str = ""
    force: bool = False


class NetworkPruneResponse(Message):
    """The names of the networks that were removed."""

    networks_deleted: list[str] | None = None
