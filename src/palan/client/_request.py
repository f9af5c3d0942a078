"""Encoding of a call's arguments as an HTTP request; no I/O."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from palan.api.version import MAX_VERSION, Version
from palan.client._argument_types import check_type
from palan.client._contract import NO_DEFAULT, Parameter, Plan, plan, without_defaults
from palan.client.errors import NotSupported


__all__ = ["Filter", "Filters", "Prepared", "encode_filters", "encode_header", "prepare"]

Filter = str | bool | Iterable[str]
Filters = Mapping[str, Filter]
"""Values by filter name; of several values of a filter, an object must match one."""

_JSON: Final = ("Content-Type", "application/json")
_TAR: Final = ("Content-Type", "application/x-tar")


@dataclass(slots=True)
class Prepared:
    """A request before it is adapted to the engine's version and sent to its address."""

    plan: Plan
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Any = None
    """Bytes, or the source of a stream; None if the request has no body."""

    document: Any = None
    """The body's JSON as builtins."""

    wants_auth: str = ""
    """The name of an image or plugin, if its registry's credentials are still to be looked up."""

    @property
    def target(self) -> str:
        """The path and query, without the version before them."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


def prepare(operation: str, arguments: Mapping[str, Any]) -> Prepared:
    """Encode the request of a call.

    Args:
        operation: ``group.operation``.
        arguments: values by the names of the request's fields, and of its body's fields where
            the plan has these; None and defaults count as absent.

    Raises:
        ValueError: a parameter of the path is empty, or would lead to another endpoint.
        TypeError: an argument has the wrong type.
    """
    made = plan(operation)
    _check_types(made, arguments)
    prepared = Prepared(made, made.endpoint.path)
    for parameter in made.path:
        prepared.path = _with_parameter(prepared.path, parameter, arguments[parameter.name])
    for parameter in made.query:
        value = arguments.get(parameter.name)
        if _is_given(parameter, value):
            prepared.query += _query(parameter.wire_name, value)
    for parameter in made.headers:
        value = arguments.get(parameter.name)
        header = parameter.wire_name
        if header == "X-Registry-Auth" and value is None:
            prepared.wants_auth = _image_or_plugin(arguments)
        elif _is_given(parameter, value) or header == "Content-type":
            prepared.headers.append((header, encode_header(value)))
    _add_body(prepared, arguments)
    return prepared


def _check_types(made: Plan, arguments: Mapping[str, Any]) -> None:
    for parameter in made.query:
        value = arguments.get(parameter.name)
        # All of a query is text, with 1 and 0 for true and false.
        as_text = (parameter.kind is bool and value in (0, 1)) or (
            parameter.kind is str and isinstance(value, int | float)
        )
        if not as_text:
            check_type(parameter.kind, value, parameter.name)
    for parameter in made.headers:
        value = arguments.get(parameter.name)
        if not isinstance(value, str):
            check_type(parameter.kind, value, parameter.name)
    for parameter in made.fields:
        check_type(parameter.kind, arguments.get(parameter.name), parameter.name)
    if made.body is not None and not made.fields:
        body = arguments.get("body")
        if not made.streams_body:
            check_type(made.body.kind, body, "body")
        elif isinstance(body, str) or not (body is None or _is_source(body)):
            kind = type(body).__name__
            raise TypeError(f"body must be bytes, a file or an iterable of bytes, not {kind}")


def _is_source(body: Any) -> bool:
    return hasattr(body, "read") or isinstance(body, Iterable | AsyncIterable | memoryview)


def adapt(prepared: Prepared, version: Version) -> None:
    """Adapt a request to the engine's version.

    Raises:
        NotSupported: the request uses a field or endpoint that the version does not have.
    """
    made = prepared.plan
    where = {"method": made.endpoint.method, "path": prepared.path}
    if version < made.endpoint.since:
        raise NotSupported(
            f"this needs API version {made.endpoint.since}, but {version} is in use", **where
        )
    if version < MAX_VERSION:
        from palan.api.changes import lift
        from palan.api.errors import InvalidParameter as RefusedByLift
        from palan.client._downgrade import downgrade

        query: dict[str, list[str]] = {}
        for name, value in prepared.query:
            query.setdefault(name, []).append(value)
        try:
            downgrade(made.operation, version, query, prepared.document, lift)
        except RefusedByLift as error:
            raise NotSupported(
                f"{error.message} (API version in use: {version})", **where
            ) from None
        prepared.query = [(name, value) for name, values in query.items() for value in values]
    if prepared.document is not None:
        prepared.body = msgspec.json.encode(prepared.document)


def encode_header(value: Any) -> str:
    """Return the value of a header: JSON in base64, except for text, which is left as it is."""
    if isinstance(value, str):
        return value
    return urlsafe_b64encode(msgspec.json.encode(without_defaults(value))).decode()


def encode_filters(filters: Filters) -> str:
    """Return filters as JSON."""
    values = {name: _filter_values(value) for name, value in filters.items()}
    return msgspec.json.encode(values).decode()


def _filter_values(value: Filter) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value]


def _is_given(parameter: Parameter, value: Any) -> bool:
    return value is not None and (parameter.default is NO_DEFAULT or value != parameter.default)


def _with_parameter(path: str, parameter: Parameter, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{parameter.name} must be a str, not {type(value).__name__}")
    parts = value.split("/")
    if not value or not all(parts) or {".", ".."} & set(parts):
        raise ValueError(f"{parameter.name} cannot be {value!r}")
    several = f"{{{parameter.name}...}}"
    if several in path:
        return path.replace(several, quote(value, safe="/:@!+"))
    return path.replace(f"{{{parameter.name}}}", quote(value, safe=":@!+"))


def _query(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, bool):
        return [(name, "1" if value else "0")]
    if isinstance(value, str | int | float):
        return [(name, str(value))]
    if isinstance(value, Mapping):
        return [(name, encode_filters(value))] if value else []
    return [(name, str(one)) for one in value]


def _image_or_plugin(arguments: Mapping[str, Any]) -> str:
    """Return the name of the image or plugin that the request needs credentials for."""
    for name in ("from_image", "remote", "name"):
        if arguments.get(name) and (name != "name" or "task_template" not in arguments):
            return str(arguments[name])
    task = arguments.get("task_template")
    image = getattr(getattr(task, "container_spec", None), "image", "")
    return image if isinstance(image, str) else ""


def _add_body(prepared: Prepared, arguments: Mapping[str, Any]) -> None:
    made = prepared.plan
    if made.body is None:
        return
    if made.streams_body:
        prepared.body = arguments.get("body")
        if not any(name.lower() == "content-type" for name, _ in prepared.headers):
            prepared.headers.append(_TAR)
        return
    if made.fields:
        given = {
            parameter.name: value
            for parameter in made.fields
            if _is_given(parameter, value := arguments.get(parameter.name))
        }
        prepared.document = without_defaults(made.body_type(**given))
    else:
        prepared.document = without_defaults(arguments.get("body") or made.body.default)
    prepared.headers.append(_JSON)
