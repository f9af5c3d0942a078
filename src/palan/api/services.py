"""Services of a swarm (``/services``)."""

from typing import Annotated

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._container_config import EmptyObject
from palan.api._swarm_types import Annotations, ObjectVersion, SwarmObject
from palan.api._task_spec import TaskSpec
from palan.api.annotations import LABEL, Filter, FilterSet, StrictBoolean, version_integer
from palan.api.auth import RegistryAuth
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import Json, NoContent, RawFrames
from palan.api.tasks import EndpointPortConfig


__all__ = [
    "EndpointSpec",
    "EndpointVirtualIP",
    "JobStatus",
    "ReplicatedJob",
    "ReplicatedService",
    "Service",
    "ServiceCreate",
    "ServiceCreateResponse",
    "ServiceEndpoint",
    "ServiceInspect",
    "ServiceList",
    "ServiceLogs",
    "ServiceMode",
    "ServiceRemove",
    "ServiceSpec",
    "ServiceStatus",
    "ServiceUpdate",
    "ServiceUpdateResponse",
    "UpdateConfig",
    "UpdateStatus",
    "group",
]

group = Group("services", "Services of a swarm: their tasks, replicas and updates.")


class ReplicatedService(Message):
    """A service with a fixed number of tasks."""

    replicas: int | Unset = UNSET


class ReplicatedJob(Message):
    """A job with a fixed number of tasks that run to completion."""

    max_concurrent: int | Unset = UNSET
    total_completions: int | Unset = UNSET
    """The number of tasks to complete; ``max_concurrent`` by default."""


class ServiceMode(Message):
    """The mode of a service; exactly one field is set."""

    replicated: ReplicatedService | Unset = UNSET
    global_: EmptyObject | Unset = field(name="Global", default=UNSET)
    """An empty object: one task on every node."""

    replicated_job: ReplicatedJob | Unset = UNSET
    global_job: EmptyObject | Unset = UNSET
    """An empty object: one task that runs to completion on every node."""


class UpdateConfig(Message):
    """The way in which an update replaces the tasks of a service."""

    parallelism: int = 0
    """The number of tasks to replace at a time; 0 is all."""

    delay: int | Unset = UNSET
    """Nanoseconds between batches."""

    failure_action: str | Unset = UNSET
    """``pause``, ``continue`` or, for updates, ``rollback``."""

    monitor: int | Unset = UNSET
    """Nanoseconds in which the end of a new task counts as a failure."""

    max_failure_ratio: float = 0
    order: str = ""
    """``stop-first`` or ``start-first``."""


class EndpointSpec(Message, omit_defaults=True):
    """The address mode and ports of a service."""

    mode: str = ""
    """``vip`` or ``dnsrr``."""

    ports: list[EndpointPortConfig] = field(default_factory=list)


class ServiceSpec(Annotations):
    """The specification of a service."""

    task_template: TaskSpec = field(default_factory=TaskSpec)
    mode: ServiceMode = field(default_factory=ServiceMode)
    update_config: UpdateConfig | Unset = UNSET
    rollback_config: UpdateConfig | Unset = UNSET
    endpoint_spec: EndpointSpec | Unset = UNSET


class EndpointVirtualIP(Message, omit_defaults=True):
    """The address of a service on one network."""

    network_id: str = field(name="NetworkID", default="")
    addr: str = ""
    """The address with the prefix length."""


class ServiceEndpoint(Message):
    """The current addresses and ports of a service."""

    spec: EndpointSpec = field(default_factory=EndpointSpec)
    ports: list[EndpointPortConfig] | Unset = UNSET
    virtual_ips: list[EndpointVirtualIP] | Unset = field(name="VirtualIPs", default=UNSET)


class UpdateStatus(Message, omit_defaults=True):
    """The state of the last update."""

    state: str = ""
    """``updating``, ``paused``, ``completed``, ``rollback_started``,
    ``rollback_paused`` or ``rollback_completed``."""

    started_at: str = ""
    completed_at: str = ""
    message: str = ""


class ServiceStatus(Message):
    """The numbers of tasks of a service."""

    running_tasks: int = 0
    desired_tasks: int = 0
    completed_tasks: int = 0


class JobStatus(Message):
    """The last run of a job."""

    job_iteration: ObjectVersion = field(default_factory=ObjectVersion)
    last_execution: str = "0001-01-01T00:00:00Z"


class Service(SwarmObject):
    """A service of a swarm."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)
    previous_spec: ServiceSpec | Unset = UNSET
    endpoint: ServiceEndpoint = field(default_factory=ServiceEndpoint)
    update_status: UpdateStatus | Unset = UNSET
    service_status: ServiceStatus | Unset = UNSET
    """The numbers of tasks; only in lists with ``status``."""

    job_status: JobStatus | Unset = UNSET


class ServiceCreateResponse(Message):
    """The id of a new service."""

    id: str = field(name="ID", default="")
    warnings: list[str] | None = None


class ServiceUpdateResponse(Message):
    """The warnings of an update."""

    warnings: list[str] | None = None


@group.endpoint("GET", "/services", operation="list", result=Json(list[Service]), raises=(503,))
class ServiceList(Request):
    """List services."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("id", "The beginning of the id."),
            LABEL,
            Filter("mode", "``replicated``, ``global``, ``replicated-job`` or ``global-job``."),
            Filter("name", "The beginning of the name."),
            Filter("runtime", "The runtime of its tasks, such as ``container``."),
            late=True,
        ),
    ] = field(default_factory=Filters)

    status: Annotated[bool, StrictBoolean()] = False
    """Include the numbers of tasks."""


@group.endpoint(
    "POST",
    "/services/create",
    operation="create",
    result=Json(ServiceCreateResponse, 201),
    raises=(403, 409, 503),
)
class ServiceCreate(Request):
    """Create a service."""

    body: ServiceSpec
    registry_auth: RegistryAuth = None
    """Credentials with which nodes pull the image."""


@group.endpoint(
    "GET", "/services/{id}", operation="inspect", result=Json(Service), raises=(404, 503)
)
class ServiceInspect(Request):
    """Inspect a service."""

    id: str
    """The id, a unique beginning of it, or the name."""

    insert_defaults: Annotated[bool, StrictBoolean()] = False
    """Include defaults of fields that the specification does not set."""


@group.endpoint(
    "DELETE", "/services/{id}", operation="remove", result=NoContent(200), raises=(404, 503)
)
class ServiceRemove(Request):
    """Remove a service and its tasks."""

    id: str


@group.endpoint(
    "POST",
    "/services/{id}/update",
    operation="update",
    result=Json(ServiceUpdateResponse),
    raises=(404, 503),
)
class ServiceUpdate(Request):
    """Update a service, or roll it back."""

    id: str
    body: ServiceSpec
    version: Annotated[int, version_integer("service")]
    """The version of the service that the change is based on."""

    registry_auth_from: str = "spec"
    """The source of credentials without a header: ``spec`` or ``previous-spec``."""

    rollback: str = ""
    """``previous`` ignores the body and restores the previous specification."""

    registry_auth: RegistryAuth = None
    """Credentials with which nodes pull the image."""


@group.endpoint(
    "GET", "/services/{id}/logs", operation="logs", result=RawFrames(), raises=(404, 503)
)
class ServiceLogs(Request):
    """Return the logs of a service's tasks."""

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
