"""Secrets of a swarm (``/secrets``): confidential data for tasks."""

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
    "Secret",
    "SecretCreate",
    "SecretCreateResponse",
    "SecretInspect",
    "SecretList",
    "SecretRemove",
    "SecretSpec",
    "SecretUpdate",
    "group",
]

group = Group("secrets", "Confidential data for the tasks of a swarm.")

_SINCE = Version(1, 25)


class SecretSpec(Annotations):
    """The specification of a secret. Results do not contain the data."""

    data: bytes | Unset = UNSET
    """At most 500 KB; base64 in JSON."""

    driver: Driver | Unset = UNSET
    """The driver that stores the data; by default the swarm stores it."""

    templating: Driver | Unset = UNSET
    """The template driver that fills in placeholders in the data for each task."""


class Secret(SwarmObject):
    """A secret of the swarm."""

    spec: SecretSpec = field(default_factory=SecretSpec)


class SecretCreateResponse(Message):
    """The id of a new secret."""

    id: str = field(name="ID", default="")


@group.endpoint(
    "GET", "/secrets", operation="list", result=Json(list[Secret]), raises=(503,), since=_SINCE
)
class SecretList(Request):
    """List secrets."""

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
    "/secrets/create",
    operation="create",
    result=Json(SecretCreateResponse, 201),
    raises=(409, 503),
    since=_SINCE,
)
class SecretCreate(Request):
    """Create a secret."""

    body: Annotated[SecretSpec, Body(struct="SecretSpec")] = field(default_factory=SecretSpec)


@group.endpoint(
    "GET",
    "/secrets/{id}",
    operation="inspect",
    result=Json(Secret),
    raises=(404, 503),
    since=_SINCE,
)
class SecretInspect(Request):
    """Inspect a secret."""

    id: str
    """The id, a unique beginning of it, or the name."""


@group.endpoint(
    "DELETE",
    "/secrets/{id}",
    operation="remove",
    result=NO_CONTENT,
    raises=(404, 503),
    since=_SINCE,
)
class SecretRemove(Request):
    """Remove an unused secret."""

    id: str


@group.endpoint(
    "POST",
    "/secrets/{id}/update",
    operation="update",
    result=NoContent(200),
    raises=(404, 503),
    since=_SINCE,
)
class SecretUpdate(Request):
    """Change a secret's labels; other changes are refused."""

    id: str
    version: Annotated[int, Integer("invalid secret version")]
    """The version of the secret that the change is based on."""

    body: SecretSpec = field(default_factory=SecretSpec)
