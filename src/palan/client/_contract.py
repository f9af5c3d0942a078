"""The declared endpoints, looked up by name when they are called for the first time.

Importing the messages of all groups takes longer than everything else that a small program
does, so each group is imported when it is first used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Final, get_args, get_origin

import msgspec

from palan.api._base import UNSET
from palan.api.endpoint import Endpoint
from palan.api.filters import Filters
from palan.api.results import ByteSource


__all__ = ["EMPTY_IS_NOT_NULL", "Parameter", "Plan", "endpoint", "has_flat_body", "plan"]

NO_DEFAULT: Final = msgspec.NODEFAULT

EMPTY_IS_NOT_NULL: Final = frozenset(
    {"entrypoint", "masked_paths", "readonly_paths", "mount_volume", "block_volume"}
)
"""Lists and dictionaries that mean something else when they are empty than when they are null."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of a request or of its body."""

    name: str
    wire_name: str
    kind: Any
    default: Any
    """The default, which is never sent; ``msgspec.NODEFAULT`` if the field is mandatory."""


@dataclass(slots=True)
class Plan:
    """The parameters of one endpoint by their place in the request; computed once."""

    endpoint: Endpoint
    operation: str
    path: list[Parameter] = field(default_factory=list)
    query: list[Parameter] = field(default_factory=list)
    headers: list[Parameter] = field(default_factory=list)
    body: Parameter | None = None
    body_type: Any = None
    streams_body: bool = False
    fields: list[Parameter] = field(default_factory=list)
    """The body's fields, where they are arguments of the call themselves."""


def endpoint(operation: str) -> Endpoint:
    """Return the declaration of an operation, ``group.operation``."""
    return plan(operation).endpoint


@cache
def _group(name: str) -> Mapping[str, Endpoint]:
    group = import_module(f"palan.api.{name}").group
    return {declared.operation: declared for declared in group}


@cache
def plan(operation: str) -> Plan:
    """Return the plan for requests of an operation, ``group.operation``."""
    group, _, name = operation.partition(".")
    declared = _group(group)[name]
    made = Plan(declared, operation)
    for entry in declared.fields:
        parameter = Parameter(entry.name, entry.wire_name, entry.kind, entry.default)
        if entry.place == "path":
            made.path.append(parameter)
        elif entry.place == "body":
            made.body = parameter
            made.streams_body = parameter.kind == ByteSource
            made.body_type = _struct_in(parameter.kind)
        elif entry.place == "header":
            made.headers.append(parameter)
        else:
            made.query.append(parameter)
    if has_flat_body(made):
        made.fields = parameters(made.body_type)
    return made


def parameters(struct: type[msgspec.Struct]) -> list[Parameter]:
    """Return the fields of a struct."""
    return [
        Parameter(entry.name, entry.encode_name, entry.type, default_of(entry))
        for entry in msgspec.structs.fields(struct)
    ]


def default_of(entry: msgspec.structs.FieldInfo) -> Any:
    """Return a field's default value, or ``msgspec.NODEFAULT``."""
    if entry.default_factory is not NO_DEFAULT:
        return entry.default_factory()
    return entry.default


def has_flat_body(made: Plan) -> bool:
    """Return whether the fields of the body are arguments of the call themselves."""
    if made.body_type is None:
        return False
    others = {parameter.name for parameter in (*made.path, *made.query, *made.headers)}
    return not others & {entry.name for entry in msgspec.structs.fields(made.body_type)}


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct type of a body, also of one that may be null; None for other bodies."""
    for one in get_args(kind) or (kind,):
        if (
            isinstance(one, type)
            and issubclass(one, msgspec.Struct)
            and get_origin(kind) is not list
        ):
            return one
    return None


# ---- values ------------------------------------------------------------------


@cache
def _defaults(struct: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    return tuple(
        (parameter.name, parameter.wire_name, parameter.default) for parameter in parameters(struct)
    )


def _null_if_empty(name: str, value: Any) -> bool:
    """Return whether an empty value of a field means the same as null."""
    return isinstance(value, list | dict | tuple) and name not in EMPTY_IS_NOT_NULL


def without_defaults(value: Any) -> Any:
    """Return a value as builtins for JSON, without fields that are unset or have their default.

    In requests, absence and the default mean the same; so older engines are not sent fields
    that they do not know.
    """
    if isinstance(value, msgspec.Struct):
        return {
            wire_name: without_defaults(one)
            for name, wire_name, default in _defaults(type(value))
            if (one := getattr(value, name)) is not UNSET
            and one != default
            and (one or default is not None or not _null_if_empty(name, one))
        }
    if isinstance(value, Mapping):
        return {str(key): without_defaults(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_defaults(one) for one in value]
    if isinstance(value, Filters):
        return value
    return value
