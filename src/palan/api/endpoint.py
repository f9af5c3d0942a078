"""The declaration of an endpoint, from which routing, client and OpenAPI follow.

An endpoint is declared once, as a decorated :class:`~palan.api.Request`::

    group = Group("containers", "Containers, their life and their streams.")

    @group.endpoint("POST", "/containers/{id}/start", operation="start", result=NO_CONTENT)
    class ContainerStart(Request):
        "Start a container."
        id: str
        detach_keys: str = ""

``palan.engine`` answers it with ``engine.containers.start(request)``, which returns a result
of the kind ``result`` (see :mod:`palan.api.results`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from palan.api._base import Request
from palan.api.annotations import FilterSet, Header, split_annotated
from palan.api.results import Result
from palan.api.version import MIN_VERSION, Version


__all__ = ["Endpoint", "Field", "Group"]

R = TypeVar("R", bound=type[Request])


M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request: its place in the request, and all that is declared about it."""

    name: str
    wire_name: str
    """The name of the query parameter or of the header."""

    place: Literal["path", "query", "header", "body"]
    kind: Any
    """The type without annotations."""

    annotations: tuple[Any, ...]
    """See :mod:`palan.api.annotations`."""

    required: bool
    default: Any
    """The default value; ``msgspec.NODEFAULT`` if the field is required."""

    def annotation(self, kind: type[M]) -> M | None:
        """Return the annotation of a kind, or None."""
        return next((one for one in self.annotations if isinstance(one, kind)), None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path of the API."""

    group: str
    """The name of the group in ``api``, ``engine`` and ``client``."""

    operation: str
    """The name of the engine's method in that group."""

    method: str
    path: str
    """The path without the version, parameters as ``{id}``; ``{name...}`` may contain slashes."""

    request: type[Request]
    result: Result
    raises: tuple[int, ...] = ()
    """The error statuses that callers should expect, besides 400 and 500."""

    since: Version = MIN_VERSION
    """The first version that has the endpoint; older versions get a 400."""

    refuses_body: str = ""
    """The error for a request with a body; empty if the body is ignored."""

    slow: bool = False
    """Whether a call may take minutes, so that clients set no time limit by default."""

    @property
    def name(self) -> str:
        """``group.operation``."""
        return f"{self.group}.{self.operation}"

    @property
    def summary(self) -> str:
        """The first line of the request's docstring."""
        return (self.request.__doc__ or "").strip().split("\n", 1)[0]

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """Names of the parameters in the path, in order."""
        return tuple(re.findall(r"{(\w+)(?:\.\.\.)?}", self.path))

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the request, in the order of their declaration."""
        in_path = self.path_parameters
        return tuple(_field(entry, in_path) for entry in msgspec.structs.fields(self.request))

    @property
    def filters(self) -> FilterSet | None:
        """The filters that the endpoint accepts; None if it has no such parameter."""
        return next(filter(None, (entry.annotation(FilterSet) for entry in self.fields)), None)

    @property
    def body(self) -> Any:
        """The type of the request's body; None if the endpoint has no body."""
        return next((entry.kind for entry in self.fields if entry.place == "body"), None)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Group:
    """A group of endpoints, as in the API's documentation."""

    name: str
    description: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        result: Result,
        raises: Iterable[int] = (),
        since: Version = MIN_VERSION,
        refuses_body: str = "",
        slow: bool = False,
    ) -> Callable[[R], R]:
        """Declare an endpoint of this group; the decorated class is its request.

        Args:
            method: the HTTP method.
            path: the path below the version.
            operation: the engine's method, ``engine.<group>.<operation>``.
            result: the result of a successful call.
            raises: error statuses to expect besides 400 and 500.
            since: the first API version that has the endpoint.
            refuses_body: the error for a request with a body, if dockerd refuses bodies.
            slow: whether a call may take minutes, so that clients set no time limit.
        """

        def declare(request: R) -> R:
            self.endpoints.append(
                Endpoint(
                    self.name,
                    operation,
                    method,
                    path,
                    request,
                    result,
                    tuple(raises),
                    since,
                    refuses_body,
                    slow,
                )
            )
            return request

        return declare

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self.endpoints)


def _field(entry: msgspec.structs.FieldInfo, in_path: tuple[str, ...]) -> Field:
    kind, annotations = split_annotated(entry.type)
    header = next((one for one in annotations if isinstance(one, Header)), None)
    place: Literal["path", "query", "header", "body"] = "query"
    if entry.name in in_path:
        place = "path"
    elif entry.name == "body":
        place = "body"
    elif header is not None:
        place = "header"
    default = entry.default
    if entry.default_factory is not msgspec.NODEFAULT:
        default = entry.default_factory()
    return Field(
        entry.name,
        header.name if header else entry.encode_name,
        place,
        kind,
        annotations,
        entry.required,
        default,
    )
