"""Containers as shown by inspect and list."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_config import ContainerConfig
from palan.api._host_config import HostConfig
from palan.api._mounts import MountPoint
from palan.api._network_types import EndpointSettings, PortMap
from palan.api._oci import DriverData, OCIDescriptor, Storage


__all__ = [
    "ContainerInspectResponse",
    "ContainerState",
    "ContainerSummary",
    "ContainerSummaryHealth",
    "ContainerSummaryHostConfig",
    "ContainerSummaryNetworkSettings",
    "Health",
    "HealthcheckResult",
    "NetworkSettings",
    "PortSummary",
]

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time, for events that have not happened."""


class HealthcheckResult(Message):
    """One run of a container's health check."""

    start: str = NEVER
    end: str = NEVER
    exit_code: int = 0
    """0 is healthy, 1 is unhealthy; others mean that the check itself failed."""

    output: str = ""


class Health(Message):
    """The health of a container, and the results of the last checks."""

    status: str = "none"
    """``none``, ``starting``, ``healthy`` or ``unhealthy``."""

    failing_streak: int = 0
    log: list[HealthcheckResult] = field(default_factory=list)


class ContainerState(Message):
    """The state of a container."""

    status: str = "created"
    """``created``, ``running``, ``paused``, ``restarting``, ``removing``, ``exited``, ``dead``."""

    running: bool = False
    """Whether the container is running; also true while it is paused or restarting."""

    paused: bool = False
    restarting: bool = False
    oom_killed: bool = field(name="OOMKilled", default=False)
    dead: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    health: Health | Unset = UNSET


class NetworkSettings(Message):
    """The current networks and published ports of a container."""

    sandbox_id: str = field(name="SandboxID", default="")
    sandbox_key: str = ""
    """The path of the network namespace."""

    ports: PortMap = field(default_factory=dict)
    networks: dict[str, EndpointSettings] = field(default_factory=dict)


class ContainerInspectResponse(Message):
    """Detailed information about a container."""

    id: str
    created: str
    path: str = ""
    """The program, which is the first word of entrypoint and command; ``args`` has the others."""

    args: list[str] = field(default_factory=list)
    state: ContainerState = field(default_factory=ContainerState)
    image: str = ""
    """The image's id."""

    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    log_path: str = ""
    name: str = ""
    """The name, with a leading slash."""

    restart_count: int = 0
    driver: str = ""
    platform: str = ""
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str = ""
    exec_ids: list[str] | None = field(name="ExecIDs", default=None)
    host_config: HostConfig = field(default_factory=HostConfig)
    graph_driver: DriverData | Unset = UNSET
    storage: Storage | Unset = UNSET
    image_manifest_descriptor: OCIDescriptor | Unset = UNSET
    size_rw: int | Unset = UNSET
    """Bytes that the container has written; only on request."""

    size_root_fs: int | Unset = UNSET
    """Bytes of the image and of the container's own files; only on request."""

    mounts: list[MountPoint] = field(default_factory=list)
    config: ContainerConfig = field(default_factory=ContainerConfig)
    network_settings: NetworkSettings = field(default_factory=NetworkSettings)


class PortSummary(Message):
    """A port of a container, and its address on the host if it is published."""

    ip: str = field(name="IP", default="")
    private_port: int = 0
    public_port: int | Unset = UNSET
    type: str = "tcp"


class ContainerSummaryHostConfig(Message):
    """The part of the host configuration that lists show."""

    network_mode: str = ""
    annotations: dict[str, str] | Unset = UNSET


class ContainerSummaryNetworkSettings(Message):
    """A container's networks in a list."""

    networks: dict[str, EndpointSettings] = field(default_factory=dict)


class ContainerSummaryHealth(Message):
    """A container's health in a list."""

    status: str = "none"
    failing_streak: int = 0


class ContainerSummary(Message):
    """A container in a list."""

    id: str
    names: list[str] = field(default_factory=list)
    image: str = ""
    """The image's name at create, or its id if that name refers to another image now."""

    image_id: str = field(name="ImageID", default="")
    image_manifest_descriptor: OCIDescriptor | Unset = UNSET
    command: str = ""
    created: int = 0
    """Unix seconds."""

    ports: list[PortSummary] = field(default_factory=list)
    size_rw: int | Unset = UNSET
    size_root_fs: int | Unset = UNSET
    labels: dict[str, str] = field(default_factory=dict)
    state: str = ""
    status: str = ""
    """The state as text: ``Up 2 hours``, ``Exited (0) 3 days ago``."""

    host_config: ContainerSummaryHostConfig = field(default_factory=ContainerSummaryHostConfig)
    health: ContainerSummaryHealth = field(default_factory=ContainerSummaryHealth)
    network_settings: ContainerSummaryNetworkSettings = field(
        default_factory=ContainerSummaryNetworkSettings
    )
    mounts: list[MountPoint] = field(default_factory=list)
