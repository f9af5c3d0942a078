"""The OpenAPI document of the API, generated from the declarations of its endpoints.

It is generated on request, and describes the messages of the newest version; endpoints that
are newer than the requested version are left out.
"""

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from types import NoneType
from typing import Any, get_args

import msgspec

from palan.api._base import message_keys
from palan.api._common import ErrorResponse
from palan.api._docstrings import class_description, field_descriptions
from palan.api.annotations import Filter, FilterSet, Header, NotEmpty
from palan.api.endpoint import Endpoint, Field
from palan.api.registry import GROUPS
from palan.api.results import (
    Bytes,
    ByteSource,
    Hijack,
    Json,
    Messages,
    PathStat,
    Ping,
    RawFrames,
    Result,
    Stat,
)
from palan.api.version import MAX_VERSION, Version


__all__ = ["document"]

_REF_TEMPLATE = "#/components/schemas/{name}"
_BINARY = {"type": "string", "format": "binary"}
_RAW_STREAM = "application/vnd.docker.raw-stream"
_MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"


def document(version: Version = MAX_VERSION) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an API version, as builtins for JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in _endpoints(version):
        path = re.sub(r"\.\.\.}", "}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Docker Engine API",
            "description": "As answered by Palan.",
            "version": str(version),
        },
        "servers": [{"url": f"/v{version}"}],
        "tags": [{"name": group.name, "description": group.description} for group in GROUPS],
        "paths": paths,
        "components": {"schemas": _components(version)},
    }


def _endpoints(version: Version) -> Iterator[Endpoint]:
    """Return the endpoints of a version."""
    return (endpoint for group in GROUPS for endpoint in group if endpoint.since <= version)


# ---- messages ---------------------------------------------------------------


def _messages(endpoint: Endpoint) -> Iterator[Any]:
    """Return the types of an endpoint's body and result."""
    if endpoint.body is not None and not _is_stream(endpoint.body):
        yield endpoint.body
    if isinstance(endpoint.result, Json | Messages):
        yield endpoint.result.type


def _is_stream(body: Any) -> bool:
    """Whether a body is read as it arrives."""
    return bool(body == ByteSource) or ByteSource in get_args(body)


def _components(version: Version) -> dict[str, Any]:
    """Return the schemas of all messages, with descriptions of their fields."""
    kinds = [kind for endpoint in _endpoints(version) for kind in _messages(endpoint)]
    _, schemas = msgspec.json.schema_components(
        [*kinds, ErrorResponse, PathStat], ref_template=_REF_TEMPLATE
    )
    structs = _structs(kinds)
    for name, schema in schemas.items():
        kind = structs.get(name)
        if kind is None:
            continue
        names = {entry.name: entry.encode_name for entry in msgspec.structs.fields(kind)}
        for field, description in field_descriptions(kind).items():
            described = schema["properties"].get(names.get(field, ""))
            if described is not None:
                described["description"] = description
    return schemas


def _structs(kinds: list[Any]) -> dict[str, type[msgspec.Struct]]:
    """Return all message classes within some types, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    pending = list(kinds)
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                pending += message_keys(kind).values()
        else:
            pending += get_args(kind)
    return found


@cache
def _schema(kind: Any) -> dict[str, Any]:
    """Return the schema of a type, with references to the components."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF_TEMPLATE)
    return schema


# ---- operations -------------------------------------------------------------


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    """Return the description of one method on one path."""
    operation: dict[str, Any] = {
        "tags": [endpoint.group],
        "operationId": endpoint.request.__name__,
        "summary": endpoint.summary,
    }
    _, _, details = class_description(endpoint.request).partition("\n\n")
    if details:
        operation["description"] = details
    parameters = list(_parameters(endpoint))
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = _request_body(endpoint)
    operation["responses"] = _responses(endpoint)
    return operation


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    """Return the parameters of an endpoint in its path, its query and its headers."""
    descriptions = field_descriptions(endpoint.request)
    for entry in endpoint.fields:
        if entry.place == "body":
            continue
        name = entry.name if entry.place == "path" else entry.wire_name
        parameter: dict[str, Any] = {
            "name": name,
            "in": entry.place,
            "required": entry.place == "path" or entry.required,
        }
        description = descriptions.get(entry.name) or _description(entry)
        if description:
            parameter["description"] = description
        parameter["schema"] = schema = _parameter_schema(entry)
        if isinstance(entry.default, str | int | bool):
            schema["default"] = entry.default
        yield parameter


def _description(entry: Field) -> str:
    """Return the description of a field without a docstring from its annotations."""
    if entry.annotation(FilterSet) is not None:
        return (
            "Filters as JSON: an object of lists of values by name. An object is selected if it"
            " matches one value of every name."
        )
    header = entry.annotation(Header)
    return header.description if header else ""


def _parameter_schema(entry: Field) -> dict[str, Any]:
    """Return the schema of a value in a path, a query or a header."""
    filters = entry.annotation(FilterSet)
    if filters is not None:
        return {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": _filters_schema(filters),
        }
    schema = dict(_schema(_without_null(entry.kind)))
    if entry.annotation(NotEmpty) is not None:
        schema["minLength"] = 1
    if entry.place == "header" and schema.get("type") != "string":
        return _encoded(schema)
    return schema


def _without_null(kind: Any) -> Any:
    """Return the type of a parameter without null."""
    members = [one for one in get_args(kind) if one is not NoneType]
    return members[0] if NoneType in get_args(kind) and len(members) == 1 else kind


def _encoded(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of JSON in base64."""
    return {
        "type": "string",
        "contentEncoding": "base64",
        "contentMediaType": "application/json",
        "contentSchema": schema,
    }


def _filters_schema(declared: FilterSet) -> dict[str, Any]:
    """Return the schema of the JSON document that an endpoint accepts as filters."""
    return {
        "type": "object",
        "properties": {
            one.name: {
                "type": "array",
                "description": one.description,
                "items": _filter_value(one),
            }
            for one in declared.filters
        },
        "additionalProperties": declared.ignores_unknown,
    }


def _filter_value(declared: Filter) -> dict[str, Any]:
    """Return the schema of one value of a filter."""
    schema: dict[str, Any] = {"type": "string"}
    if declared.values:
        schema["enum"] = list(declared.values)
    elif declared.boolean:
        schema["enum"] = ["true", "1", "false", "0"]
    elif declared.integer:
        schema["pattern"] = "^[+-]?[0-9]+$"
    return schema


def _request_body(endpoint: Endpoint) -> dict[str, Any]:
    """Return the description of the body of a request."""
    (entry,) = (entry for entry in endpoint.fields if entry.place == "body")
    body: dict[str, Any] = {"required": entry.required}
    description = field_descriptions(endpoint.request).get("body")
    if description:
        body["description"] = description
    if _is_stream(entry.kind):
        body["content"] = {"application/x-tar": {"schema": _BINARY}}
    else:
        body["content"] = {"application/json": {"schema": _schema(entry.kind)}}
    return body


# ---- responses --------------------------------------------------------------


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    """Return the descriptions of all answers of an endpoint, by status."""
    responses = dict(_successes(endpoint.result))
    for status in sorted({400, 500, *endpoint.raises}):
        response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if status != HTTPStatus.NOT_MODIFIED:
            response["content"] = {"application/json": {"schema": _schema(ErrorResponse)}}
        responses[str(status)] = response
    return dict(sorted(responses.items()))


def _successes(result: Result) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the descriptions of the successful answers of a declared result."""
    response: dict[str, Any] = {"description": HTTPStatus(result.status).phrase}
    match result:
        case Json():
            response["content"] = {"application/json": {"schema": _schema(result.type)}}
        case Messages():
            response["description"] = "A sequence of messages"
            schema = {"schema": _schema(result.type)}
            response["content"] = dict.fromkeys(("application/json", *result.media_types), schema)
        case Ping():
            response["content"] = {"text/plain": {"schema": {"type": "string"}}}
        case Bytes():
            response["content"] = {result.content_type: {"schema": _BINARY}}
        case RawFrames():
            response["content"] = {
                kind: {"schema": _BINARY} for kind in (_RAW_STREAM, _MULTIPLEXED_STREAM)
            }
        case Hijack():
            response["description"] = "The connection is a stream from here on"
            response["content"] = {_RAW_STREAM: {"schema": _BINARY}}
            yield "101", {"description": "The same, for clients that asked for an upgrade"}
        case Stat():
            response["headers"] = {
                "X-Docker-Container-Path-Stat": {
                    "description": "PathStat as JSON in base64",
                    "schema": _encoded(_schema(PathStat)),
                }
            }
    yield str(result.status), response
