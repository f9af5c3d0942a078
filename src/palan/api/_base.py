"""Base classes of all messages, and the conversion of Python names to Docker's names."""

from collections.abc import Mapping
from typing import Any

import msgspec


__all__ = ["UNSET", "Message", "Request", "Unset", "camel_case", "pascal_case"]

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType


def pascal_case(name: str) -> str:
    """Return the JSON key of a field: ``exposed_ports`` becomes ``ExposedPorts``.

    Fields with irregular names (``ID``, ``IPAddress``, ``OOMKilled``) are declared with
    ``msgspec.field(name=...)``.
    """
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def camel_case(name: str) -> str:
    """Return the query parameter of a field: ``detach_keys`` becomes ``detachKeys``."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class Message(msgspec.Struct, rename=pascal_case, kw_only=True):
    """A JSON object of the API.

    In results, an unset field of the type ``X | Unset`` is omitted (Go's ``omitempty``), and
    ``None`` becomes ``null``, as in dockerd's answers. In requests, both ``null`` and absence
    give the field's default, as in Go.
    """


class Request(msgspec.Struct, rename=camel_case, kw_only=True):
    """The content of one call of an endpoint.

    A field named in the endpoint's path is a path parameter; the field ``body`` is
    the request's body; a field annotated with :class:`palan.api.Header` is a
    header; every other field is a query parameter.
    """


def message_keys(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Return the types of a struct's fields by their JSON keys."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
