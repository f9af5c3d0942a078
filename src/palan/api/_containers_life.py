"""What containers there are, and their life from create to remove."""

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
    """Also those that do not run."""

    limit: int = 0
    """The newest so many, running or not; 0 or less is all."""

    size: bool = False
    """Also measure their files."""

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
    """Create a container; it does not run yet."""

    body: Annotated[ContainerCreateBody, Body(needed=True)]
    name: str = ""
    """Empty for a made-up one."""

    platform: str = ""
    """``os[/arch[/variant]]`` that the image must be of; empty is the machine's own."""


@group.endpoint(
    "GET",
    "/containers/{id}/json",
    operation="inspect",
    result=Json(ContainerInspectResponse),
    raises=(404,),
)
class ContainerInspect(Request):
    """Tell all that is known about a container."""

    id: str
    size: bool = False
    """Also measure its files."""


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
    """Arguments of ``ps``."""


@group.endpoint(
    "GET",
    "/containers/{id}/stats",
    operation="stats",
    result=Messages(ContainerStatsResponse),
    raises=(404,),
)
class ContainerStats(Request):
    """Tell what a container uses, once or every second."""

    id: str
    stream: bool = True
    one_shot: bool = field(name="one-shot", default=False)
    """With ``stream`` off: do not wait for a second sample; ``precpu_stats`` is then zero."""


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
    """Accepted and without effect: start has no terminal."""

    checkpoint: str = ""
    """The checkpoint to go on from."""

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
    """Stop a container: ask with a signal, then kill."""

    id: str
    signal: str = ""
    """Empty for the container's own."""

    t: int | None = None
    """Seconds to wait; -1 is for ever, None is the container's own."""


@group.endpoint(
    "POST",
    "/containers/{id}/restart",
    operation="restart",
    result=NO_CONTENT,
    raises=(404,),
    slow=True,
)
class ContainerRestart(Request):
    """Stop a container if it runs, and start it."""

    id: str
    signal: str = ""
    """Empty for the container's own."""

    t: int | None = None
    """Seconds to wait; -1 is for ever, None is the container's own."""


@group.endpoint(
    "POST", "/containers/{id}/kill", operation="kill", result=NO_CONTENT, raises=(404, 409)
)
class ContainerKill(Request):
    """Send a signal to the first process of a container."""

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
    """Change limits of a container while it runs."""

    id: str
    body: ContainerUpdateBody = field(default_factory=ContainerUpdateBody)


@group.endpoint(
    "POST", "/containers/{id}/rename", operation="rename", result=NO_CONTENT, raises=(404, 409)
)
class ContainerRename(Request):
    """Give a container another name."""

    id: str
    name: str


@group.endpoint(
    "POST", "/containers/{id}/pause", operation="pause", result=NO_CONTENT, raises=(404, 409)
)
class ContainerPause(Request):
    """Freeze all processes of a container."""

    id: str


@group.endpoint(
    "POST", "/containers/{id}/unpause", operation="unpause", result=NO_CONTENT, raises=(404,)
)
class ContainerUnpause(Request):
    """Let a paused container go on."""

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
    """Wait until a container ends, and tell how."""

    id: str
    condition: str = ""
    """``not-running`` (or empty), ``next-exit`` or ``removed``."""


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
    """Its anonymous volumes too."""

    force: bool = False
    """Even while it runs: kill it first."""

    link: bool = False
    """Only the link of that name."""


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
    """Remove all containers that do not run."""

    filters: Annotated[
        Filters,
        FilterSet(
            LABEL,
            NOT_LABEL,
            UNTIL,
        ),
    ] = field(default_factory=Filters)
