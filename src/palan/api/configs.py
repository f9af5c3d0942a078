"""Configs of a swarm (``/configs``): files for tasks."""

from typing import Annotated

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._swarm_types import Annotations, Driver, SwarmObject
from palan.api.annotations import LABEL, Body, Filter, FilterSet, Integer
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import NO_CONTENT, Json, NoContent
from palan.api.version import Version


__all__ = [
    "Config",
    "ConfigCreate",
    "ConfigCreateResponse",
    "ConfigInspect",
    "ConfigList",
    "ConfigRemove",
    "ConfigSpec",
    "ConfigUpdate",
    "group",
]

group = Group("configs", "Files for the tasks of a swarm.")

_SINCE = Version(1, 30)


class ConfigSpec(Annotations):
    """The specification of a config."""

    data: bytes | Unset = UNSET
    """At most 1000 KB; base64 in JSON."""

    templating: Driver | Unset = UNSET
    """The template driver that fills in placeholders in the data for each task."""


class Config(SwarmObject):
    """A config of the swarm."""

    spec: ConfigSpec = field(default_factory=ConfigSpec)


class ConfigCreateResponse(Message):
    """The id of a new config."""

    id: str = field(name="ID", default="")


@group.endpoint(
    "GET", "/configs", operation="list", result=Json(list[Config]), raises=(503,), since=_SINCE
)
class ConfigList(Request):
    """List configs."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("id", "The beginning of the id."),
            LABEL,
            Filter("name", "The beginning of the name."),
            Filter("names", "The name."),
            late=True,
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "POST",
    "/configs/create",
    operation="create",
    result=Json(ConfigCreateResponse, 201),
    raises=(409, 503),
    since=_SINCE,
)
class ConfigCreate(Request):
    """Create a config."""

    body: Annotated[ConfigSpec, Body(struct="ConfigSpec")] = field(default_factory=ConfigSpec)


@group.endpoint(
    "GET",
    "/configs/{id}",
    operation="inspect",
    result=Json(Config),
    raises=(404, 503),
    since=_SINCE,
)
class ConfigInspect(Request):
    """Inspect a config."""

    id: str
    """The id, a unique beginning of it, or the name."""


@group.endpoint(
    "DELETE",
    "/configs/{id}",
    operation="remove",
    result=NO_CONTENT,
    raises=(404, 503),
    since=_SINCE,
)
class ConfigRemove(Request):
    """Remove an unused config."""

    id: str


@group.endpoint(
    "POST",
    "/configs/{id}/update",
    operation="update",
    result=NoContent(200),
    raises=(404, 503),
    since=_SINCE,
)
class ConfigUpdate(Request):
    """Change a config's labels; other changes are refused."""

    id: str
    version: Annotated[int, Integer("invalid config version")]
    """The version of the config that the change is based on."""

    body: ConfigSpec = field(default_factory=ConfigSpec)
