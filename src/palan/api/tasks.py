"""Tasks of a swarm (``/tasks``): the containers of its services."""

from typing import Annotated

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._network_messages import ConfigReference
from palan.api._swarm_types import Annotations, Driver, GenericResource, ObjectVersion, SwarmObject
from palan.api._task_spec import TaskSpec
from palan.api.annotations import LABEL, Filter, FilterSet
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import Json, RawFrames


__all__ = [
    "ContainerStatus",
    "EndpointPortConfig",
    "NetworkAttachment",
    "PortStatus",
    "SwarmIPAMConfig",
    "SwarmIPAMOptions",
    "SwarmNetwork",
    "SwarmNetworkSpec",
    "Task",
    "TaskInspect",
    "TaskList",
    "TaskLogs",
    "TaskStatus",
    "VolumeAttachment",
    "group",
]

group = Group("tasks", "The tasks of a swarm's services.")


class EndpointPortConfig(Message, omit_defaults=True):
    """A published port of a service or a task."""

    name: str = ""
    protocol: str = ""
    """``tcp``, ``udp`` or ``sctp``."""

    target_port: int = 0
    published_port: int = 0
    """The published port; 0 is any free port."""

    publish_mode: str = ""
    """``ingress`` (on every node) or ``host`` (where the task runs)."""


class ContainerStatus(Message):
    """The container of a task."""

    container_id: str = field(name="ContainerID", default="")
    pid: int = field(name="PID", default=0)
    exit_code: int = 0


class PortStatus(Message, omit_defaults=True):
    """The published ports of a task on its node."""

    ports: list[EndpointPortConfig] = field(default_factory=list)


class TaskStatus(Message):
    """The state of a task."""

    timestamp: str = "0001-01-01T00:00:00Z"
    state: str | Unset = UNSET
    """``new``, ``allocated``, ``pending``, ``assigned``, ``accepted``, ``preparing``,
    ``ready``, ``starting``, ``running``, ``complete``, ``shutdown``, ``failed``,
    ``rejected``, ``remove`` or ``orphaned``."""

    message: str | Unset = UNSET
    err: str | Unset = UNSET
    container_status: ContainerStatus | Unset = UNSET
    port_status: PortStatus = field(default_factory=PortStatus)


class SwarmIPAMConfig(Message, omit_defaults=True):
    """One pool of addresses of a swarm's network."""

    subnet: str = ""
    range: str = ""
    gateway: str = ""


class SwarmIPAMOptions(Message):
    """Address management of a swarm's network."""

    driver: Driver = field(default_factory=Driver)
    configs: list[SwarmIPAMConfig] | Unset = UNSET


class SwarmNetworkSpec(Annotations):
    """The specification of a swarm's network."""

    driver_configuration: Driver | Unset = UNSET
    ipv6_enabled: bool | Unset = field(name="IPv6Enabled", default=UNSET)
    internal: bool | Unset = UNSET
    attachable: bool | Unset = UNSET
    ingress: bool | Unset = UNSET
    ipam_options: SwarmIPAMOptions | Unset = field(name="IPAMOptions", default=UNSET)
    config_from: ConfigReference | Unset = UNSET
    scope: str | Unset = UNSET


class SwarmNetwork(SwarmObject):
    """A network of a swarm, as stored by the managers."""

    spec: SwarmNetworkSpec = field(default_factory=SwarmNetworkSpec)
    driver_state: Driver = field(default_factory=Driver)
    ipam_options: SwarmIPAMOptions | Unset = field(name="IPAMOptions", default=UNSET)


class NetworkAttachment(Message):
    """A network of a task, and the task's addresses in it."""

    network: SwarmNetwork = field(default_factory=SwarmNetwork)
    addresses: list[str] | Unset = UNSET


class VolumeAttachment(Message, omit_defaults=True):
    """A cluster volume that a task uses."""

    id: str = field(name="ID", default="")
    source: str = ""
    target: str = ""


class Task(SwarmObject):
    """A task of a swarm."""

    name: str | Unset = UNSET
    labels: dict[str, str] | None = None
    spec: TaskSpec = field(default_factory=TaskSpec)
    service_id: str | Unset = field(name="ServiceID", default=UNSET)
    slot: int | Unset = UNSET
    """The number of the replica in its service, from 1."""

    node_id: str | Unset = field(name="NodeID", default=UNSET)
    status: TaskStatus = field(default_factory=TaskStatus)
    desired_state: str | Unset = UNSET
    networks_attachments: list[NetworkAttachment] | Unset = UNSET
    generic_resources: list[GenericResource] | Unset = UNSET
    job_iteration: ObjectVersion | Unset = UNSET
    volumes: list[VolumeAttachment] | None = None


@group.endpoint("GET", "/tasks", operation="list", result=Json(list[Task]), raises=(503,))
class TaskList(Request):
    """List tasks."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("desired-state", "``running``, ``shutdown`` or ``accepted``."),
            Filter("id", "The beginning of the id."),
            LABEL,
            Filter("name", "The beginning of the name."),
            Filter("node", "Id or name of a node."),
            Filter("service", "Id or name of a service."),
            Filter("runtime", "The runtime, such as ``container``."),
            Filter("up-to-date", "Whether it has the newest specification.", boolean=True),
            late=True,
        ),
    ] = field(default_factory=Filters)


@group.endpoint("GET", "/tasks/{id}", operation="inspect", result=Json(Task), raises=(404, 503))
class TaskInspect(Request):
    """Inspect a task."""

    id: str


@group.endpoint("GET", "/tasks/{id}/logs", operation="logs", result=RawFrames(), raises=(404, 503))
class TaskLogs(Request):
    """Return the logs of a task."""

    id: str
    details: bool = False
    """Begin each line with its task, service and node."""

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: str = ""
    """Only output since this time: Unix seconds with an optional fraction."""

    timestamps: bool = False
    tail: str = "all"
    """The number of lines from the end, or ``all``."""
