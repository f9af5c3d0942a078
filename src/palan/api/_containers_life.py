"""Lists of containers, and their life cycle from create to remove."""

from typing import Annotated

from msgspec import field

from palan.api._base import Request
from palan.api._container_inspect import ContainerInspectResponse, ContainerSummary
from palan.api._container_messages import (
    ContainerCreateBody,
    ContainerCreateResponse,
    ContainerPruneResponse,
    ContainerTopResponse,
    ContainerUpdateBody,
    ContainerUpdateResponse,
    ContainerWaitResponse,
)
from palan.api._container_stats import ContainerStatsResponse
from palan.api._containers_group import group
from palan.api.annotations import LABEL, NOT_LABEL, UNTIL, Body, Filter, FilterSet
from palan.api.filters import Filters
from palan.api.results import NO_CONTENT, Json, LateJson, Messages
from palan.api.version import Version


__all__ = [
    "ContainerCreate",
    "ContainerInspect",
    "ContainerKill",
    "ContainerList",
    "ContainerPause",
    "ContainerPrune",
    "ContainerRemove",
    "ContainerRename",
    "ContainerRestart",
    "ContainerStart",
    "ContainerStats",
    "ContainerStop",
    "ContainerTop",
    "ContainerUnpause",
    "ContainerUpdate",
    "ContainerWait",
]


@group.endpoint("GET", "/containers/json", operation="list", result=Json(list[ContainerSummary]))
class ContainerList(Request):
    """List containers, the newest first."""

    all: bool = False
    """Include containers that are not running."""

    limit: int = 0
    """The maximum number of containers, running or not; 0 or less is unlimited."""

    size: bool = False
    """Include the size of the containers' files."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter(
                "status",
                "The state.",
                values=(
                    "created",
                    "running",
                    "paused",
                    "restarting",
                    "removing",
                    "exited",
                    "dead",
                ),
                error=(
                    "invalid filter '{name}={value}': invalid value for state ({value}):"
                    " must be one of {values}"
                ),
            ),
            Filter(
                "health",
                "The result of the health check; ``none`` without one.",
                values=("none", "starting", "healthy", "unhealthy"),
                error=(
                    "invalid filter '{name}={value}': invalid value for health ({value}):"
                    " must be one of {values}"
                ),
            ),
            Filter("ancestor", "The image, or an image that it was built upon."),
            Filter("before", "Only containers created before this one: name or id."),
            Filter("exited", "The exit code of containers that have ended.", integer=True),
            Filter("expose", "An exposed port or range: ``port[-last][/protocol]``."),
            Filter("id", "The beginning of the id."),
            Filter("is-task", "Whether it is a task of a service.", boolean=True),
            Filter("isolation", "The isolation; Windows only."),
            LABEL,
            Filter("name", "A regular expression that matches a part of the name."),
            Filter("network", "Name or id of a network that it is connected to."),
            Filter("publish", "A published port or range: ``port[-last][/protocol]``."),
            Filter("since", "Only containers created after this one: name or id."),
            Filter("volume", "The name of a mounted volume, or the path of a mount point."),
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "POST",
    "/containers/create",
    operation="create",
    result=Json(ContainerCreateResponse, status=201),
    raises=(404, 409),
)
class ContainerCreate(Request):
    """Create a container without starting it."""

    body: Annotated[ContainerCreateBody, Body(needed=True)]
    name: str = ""
    """The name; generated if empty."""

    platform: str = ""
    """``os[/arch[/variant]]`` of the image; by default that of the machine."""


@group.endpoint(
    "GET",
    "/containers/{id}/json",
    operation="inspect",
    result=Json(ContainerInspectResponse),
    raises=(404,),
)
class ContainerInspect(Request):
    """Return detailed information about a container."""

    id: str
    size: bool = False
    """Include the size of the container's files."""


@group.endpoint(
    "GET",
    "/containers/{id}/top",
    operation="top",
    result=Json(ContainerTopResponse),
    raises=(404, 409),
)
class ContainerTop(Request):
    """List the processes of a container."""

    id: str
    ps_args: str = field(name="ps_args", default="-ef")
    """Arguments for ``ps``."""


@group.endpoint(
    "GET",
    "/containers/{id}/stats",
    operation="stats",
    result=Messages(ContainerStatsResponse),
    raises=(404,),
)
class ContainerStats(Request):
    """Return the resource usage of a container, once or every second."""

    id: str
    stream: bool = True
    one_shot: bool = field(name="one-shot", default=False)
    """Without ``stream``, do not wait for a second sample; ``precpu_stats`` is zero then."""


@group.endpoint(
    "POST",
    "/containers/{id}/start",
    operation="start",
    result=NO_CONTENT,
    raises=(304, 404, 409),
    refuses_body=(
        "starting container with non-empty request body was deprecated since API v1.22"
        " and removed in v1.24"
    ),
    slow=True,
)
class ContainerStart(Request):
    """Start a container."""

    id: str
    detach_keys: str = ""
    """Has no effect."""

    checkpoint: str = ""
    """The checkpoint to restore."""

    checkpoint_dir: str = field(name="checkpoint-dir", default="")


@group.endpoint(
    "POST",
    "/containers/{id}/stop",
    operation="stop",
    result=NO_CONTENT,
    raises=(304, 404),
    slow=True,
)
class ContainerStop(Request):
    """Stop a container with a signal, and kill it after a timeout."""

    id: str
    signal: str = ""
    """The signal; the container's stop signal by default."""

    t: int | None = None
    """Seconds to wait before killing; -1 is unlimited, the container's timeout by default."""


@group.endpoint(
    "POST",
    "/containers/{id}/restart",
    operation="restart",
    result=NO_CONTENT,
    raises=(404,),
    slow=True,
)
class ContainerRestart(Request):
    """Stop a container if it is running, and start it."""

    id: str
    signal: str = ""
    """The signal; the container's stop signal by default."""

    t: int | None = None
    """Seconds to wait before killing; -1 is unlimited, the container's timeout by default."""


@group.endpoint(
    "POST", "/containers/{id}/kill", operation="kill", result=NO_CONTENT, raises=(404, 409)
)
class ContainerKill(Request):
    """Send a signal to the main process of a container."""

    id: str
    signal: str = "SIGKILL"


@group.endpoint(
    "POST",
    "/containers/{id}/update",
    operation="update",
    result=Json(ContainerUpdateResponse),
    raises=(404, 409),
)
class ContainerUpdate(Request):
    """Change the limits of a container, running or not."""

    id: str
    body: ContainerUpdateBody = field(default_factory=ContainerUpdateBody)


@group.endpoint(
    "POST", "/containers/{id}/rename", operation="rename", result=NO_CONTENT, raises=(404, 409)
)
class ContainerRename(Request):
    """Rename a container."""

    id: str
    name: str


@group.endpoint(
    "POST", "/containers/{id}/pause", operation="pause", result=NO_CONTENT, raises=(404, 409)
)
class ContainerPause(Request):
    """Pause all processes of a container."""

    id: str


@group.endpoint(
    "POST", "/containers/{id}/unpause", operation="unpause", result=NO_CONTENT, raises=(404,)
)
class ContainerUnpause(Request):
    """Resume all processes of a paused container."""

    id: str


@group.endpoint(
    "POST",
    "/containers/{id}/wait",
    operation="wait",
    result=LateJson(ContainerWaitResponse),
    raises=(404,),
    slow=True,
)
class ContainerWait(Request):
    """Wait until a container ends, and return its exit code."""

    id: str
    condition: str = ""
    """The state to wait for: ``not-running`` (or empty), ``next-exit`` or ``removed``."""


@group.endpoint(
    "DELETE",
    "/containers/{id...}",
    operation="remove",
    result=NO_CONTENT,
    raises=(404, 409),
    slow=True,
)
class ContainerRemove(Request):
    """Remove a container."""

    id: str
    v: bool = False
    """Remove its anonymous volumes, too."""

    force: bool = False
    """Kill the container if it is running."""

    link: bool = False
    """Remove only the link of that name."""


@group.endpoint(
    "POST",
    "/containers/prune",
    operation="prune",
    result=Json(ContainerPruneResponse),
    raises=(409,),
    since=Version(1, 25),
    slow=True,
)
class ContainerPrune(Request):
    """Remove all containers that are not running."""

    filters: Annotated[
        Filters,
        FilterSet(
            LABEL,
            NOT_LABEL,
            UNTIL,
        ),
    ] = field(default_factory=Filters)
