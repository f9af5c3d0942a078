"""The bases of all messages, and how Python names become Docker's names."""

from collections.abc import Mapping
from typing import Any

import msgspec


__all__ = ["UNSET", "Message", "Request", "Unset", "camel_case", "pascal_case"]

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType


def pascal_case(name: str) -> str:
    """``exposed_ports`` -> ``ExposedPorts``: the names of JSON keys.

    Irregular names (``ID``, ``IPAddress``, ``OOMKilled``) are given with
    ``msgspec.field(name=...)`` where the field is declared.
    """
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def camel_case(name: str) -> str:
    """``detach_keys`` -> ``detachKeys``: the names of query parameters."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class Message(msgspec.Struct, rename=pascal_case, kw_only=True):
    """A JSON object of the API.

    In results, a field typed ``X | Unset`` with the default ``UNSET`` is left out
    when unset (Go's ``omitempty``), and ``None`` is ``null``: the two are told
    apart as dockerd tells them apart.  In requests, ``null`` and absence both give
    the field's default, as in Go.
    """


class Request(msgspec.Struct, rename=camel_case, kw_only=True):
    """All that one call of an endpoint carries.

    A field named in the endpoint's path is a path parameter; the field ``body`` is
    the request's body; a field annotated with :class:`palan.api.Header` is a
    header; every other field is a query parameter.
    """


def message_keys(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The wire names of a struct's fields with their types."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
