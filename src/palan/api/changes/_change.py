"""Changes between API versions, and helpers to write them.

Changes work on JSON as builtins, before a request is decoded and after a result is encoded.
A client may have sent anything, so a change only touches values of the expected shape; the
decoder refuses the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from palan.api.version import Version


__all__ = [
    "Call",
    "Change",
    "Lift",
    "Lower",
    "add_filter",
    "child",
    "children",
    "drop",
    "drop_query",
    "put_child",
    "without",
]


@dataclass(slots=True)
class Call:
    """A request that is converted from the client's version to the newest."""

    version: Version
    """The client's version."""

    query: dict[str, list[str]]
    body: Any = None
    """The body's JSON as builtins, or None."""

    notices: list[str] = field(default_factory=list)
    """Warnings for the result."""


Lift = Callable[[Call], None]
"""Converts a request of a version below ``before`` into an equivalent one of ``before``.

It may raise :class:`palan.api.errors.InvalidParameter`.
"""

Lower = Callable[[Any], Any]
"""Converts a result of ``before`` into one of older versions; None if nothing is sent."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an API version, for some operations."""

    before: Version
    """The version that introduced the change, which applies to clients of older ones."""

    operations: tuple[str, ...]
    """``group.operation``, as in declarations of endpoints."""

    lift: Lift | None = None
    lower: Lower | None = None


def child(parent: Any, *names: str) -> dict[str, Any] | None:
    """Return the object at a path below ``parent``, or None."""
    for name in names:
        if not isinstance(parent, dict):
            return None
        parent = parent.get(name)
    return parent if isinstance(parent, dict) else None


def children(parent: Any, *names: str) -> Iterator[dict[str, Any]]:
    """Return the objects in the array, or among the values of the object, at a path."""
    if names:
        parent = child(parent, *names[:-1])
        parent = parent.get(names[-1]) if parent is not None else None
    if isinstance(parent, dict):
        parent = parent.values()
    elif not isinstance(parent, list):
        return
    for item in parent:
        if isinstance(item, dict):
            yield item


def put_child(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object at a key of ``parent``, after creating it if it is absent or null."""
    found = parent.get(name)
    if isinstance(found, dict):
        return found
    made: dict[str, Any] = {}
    parent[name] = made
    return made


def drop(parent: dict[str, Any] | None, *names: str) -> None:
    """Remove keys from an object, if it exists."""
    if parent is not None:
        for name in names:
            parent.pop(name, None)


def drop_query(*names: str) -> Lift:
    """Return a lift that removes query parameters that the client's version does not have."""

    def lift(call: Call) -> None:
        for name in names:
            call.query.pop(name, None)

    return lift


def without(*names: str) -> Lower:
    """Return a lowering that removes keys from the result."""

    def lower(result: Any) -> Any:
        if isinstance(result, dict):
            drop(result, *names)
        else:
            for item in children(result):
                drop(item, *names)
        return result

    return lower


def add_filter(call: Call, name: str, value: str) -> None:
    """Add a value to the parameter ``filters``, unless that is malformed."""
    given = call.query.get("filters") or [""]
    try:
        filters = msgspec.json.decode(given[0]) if given[0] else {}
    except msgspec.DecodeError:
        return
    if filters is None:
        filters = {}
    if not isinstance(filters, dict):
        return
    values = filters.get(name)
    if isinstance(values, dict):
        values[value] = True
    elif isinstance(values, list):
        values.append(value)
    else:
        filters[name] = [value]
    call.query["filters"] = [msgspec.json.encode(filters).decode()]
