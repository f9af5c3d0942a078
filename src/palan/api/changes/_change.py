"""What a change is, and the words that changes are written in.

Changes see JSON as builtins, before a request is decoded and after a result is
encoded.  A client may have sent anything, so a change touches only what has the
shape that it expects; the rest is left for decoding to refuse.
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
    """A request on its way from the caller's version to the newest."""

    version: Version
    """The caller's."""

    query: dict[str, list[str]]
    body: Any = None
    """JSON as builtins; None when there is none."""

    notices: list[str] = field(default_factory=list)
    """What the caller should be told, among the warnings of the result."""


Lift = Callable[[Call], None]
"""Makes of a request below ``before`` one that means the same since ``before``.

It may raise :class:`palan.api.errors.InvalidParameter`.
"""

Lower = Callable[[Any], Any]
"""Makes of a result since ``before`` what it was below; None for nothing at all."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed in a version, for some operations."""

    before: Version
    """The version it came with: it concerns callers below."""

    operations: tuple[str, ...]
    """``group.operation``, as in declarations of endpoints."""

    lift: Lift | None = None
    lower: Lower | None = None


def child(parent: Any, *names: str) -> dict[str, Any] | None:
    """The object below ``parent`` at that path, if there is one and it is an object."""
    for name in names:
        if not isinstance(parent, dict):
            return None
        parent = parent.get(name)
    return parent if isinstance(parent, dict) else None


def children(parent: Any, *names: str) -> Iterator[dict[str, Any]]:
    """The objects in the array, or among the values of the object, at that path."""
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
    """The object below ``parent``, made if it is absent or null."""
    found = parent.get(name)
    if isinstance(found, dict):
        return found
    made: dict[str, Any] = {}
    parent[name] = made
    return made


def drop(parent: dict[str, Any] | None, *names: str) -> None:
    """Remove keys from an object, if it is there."""
    if parent is not None:
        for name in names:
            parent.pop(name, None)


def drop_query(*names: str) -> Lift:
    """A lift that ignores query parameters that the caller's version did not have."""

    def lift(call: Call) -> None:
        for name in names:
            call.query.pop(name, None)

    return lift


def without(*names: str) -> Lower:
    """A lowering that leaves keys out of the result."""

    def lower(result: Any) -> Any:
        if isinstance(result, dict):
            drop(result, *names)
        else:
            for item in children(result):
                drop(item, *names)
        return result

    return lower


def add_filter(call: Call, name: str, value: str) -> None:
    """Add a value to the ``filters`` parameter, unless it cannot be read."""
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
