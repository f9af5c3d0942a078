"""Networks: as asked for, and as list and inspect answer them."""

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
    """The configuration-only network that a network takes its settings from."""

    network: str = ""


class PeerInfo(Message):
    """A node that an overlay network reaches."""

    name: str = ""
    ip: str = field(name="IP", default="")


class Network(Message):
    """What list and inspect both tell about a network."""

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
    """No way out of it."""

    attachable: bool = False
    """Containers may join it, not only tasks."""

    ingress: bool = False
    """Carries the swarm's routing mesh."""

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
    """With the prefix length, as is the next."""

    ipv6_address: str = field(name="IPv6Address", default="")


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
    """How full a subnet is."""

    ips_in_use: int = field(name="IPsInUse", default=0)
    """The network's own addresses count."""

    dynamic_ips_available: int = field(name="DynamicIPsAvailable", default=0)


class IPAMStatus(Message):
    """How full the subnets of a network are."""

    subnets: dict[str, SubnetStatus] | Unset = UNSET


class NetworkStatus(Message):
    """What changes about a network by itself."""

    ipam: IPAMStatus = field(name="IPAM", default_factory=IPAMStatus)


class NetworkSummary(Network):
    """A network in a list."""

    containers: dict[str, EndpointResource] | Unset = UNSET
    """By the container's id, if they were asked for; only those that run."""


class NetworkInspectResponse(Network):
    """All that is known about a network (NetworkInspect in Docker's description)."""

    containers: dict[str, EndpointResource] = field(default_factory=dict)
    """By the container's id; only those that run."""

    services: dict[str, ServiceInfo] | Unset = UNSET
    """Only with ``verbose``."""

    status: NetworkStatus | Unset = UNSET


class NetworkCreateRequest(Message):
    """A network to make."""

    name: str = ""
    driver: str = ""
    """Empty for ``bridge``, in a swarm's scope for ``overlay``."""

    scope: str = ""
    enable_ipv4: bool | None = field(name="EnableIPv4", default=None)
    """None is the engine's default, as is the next."""

    enable_ipv6: bool | None = field(name="EnableIPv6", default=None)
    ipam: IPAM | None = field(name="IPAM", default=None)
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    """The driver's."""

    labels: dict[str, str] | None = None


class NetworkCreateResponse(Message):
    """The new network."""

    id: str
    warning: str = ""


class NetworkConnectRequest(Message):
    """A container to put on a network."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnectRequest(Message):
    """A container to take off a network."""

    container: str = ""
    force: bool = False


class NetworkPruneResponse(Message):
    """The names of the networks that were removed."""

    networks_deleted: list[str] | None = None
