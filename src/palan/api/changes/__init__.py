"""Differences between API versions, applied at the edge so that the engine knows only one.

A request is *lifted* from the client's version to the newest before it is decoded; a result
is *lowered* to the client's version after it was encoded. Each difference is one small
:class:`Change`. A client gets the changes of all versions above its own, the oldest first
for requests and the newest first for results.

The reference is the behaviour of dockerd 29 with old clients, not that of old engines: what
dockerd ignores or keeps in all versions is ignored or kept here, too. The server handles
differences of content types and of the time when heads are sent.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from palan.api.changes import (
    build,
    container_create,
    containers,
    images,
    networks,
    services,
    swarm,
    system,
    volumes,
)
from palan.api.changes._change import Call, Change, Lift, Lower
from palan.api.version import MAX_VERSION, Version


__all__ = ["CHANGES", "Change", "lift", "lower", "lowers"]

CHANGES: tuple[Change, ...] = (
    *build.CHANGES,
    *container_create.CHANGES,
    *containers.CHANGES,
    *images.CHANGES,
    *networks.CHANGES,
    *services.CHANGES,
    *swarm.CHANGES,
    *system.CHANGES,
    *volumes.CHANGES,
)


@cache
def _lifts(operation: str, version: Version) -> tuple[Lift, ...]:
    """Return the changes to a request, in order."""
    apply = [
        (change.before, change.lift)
        for change in CHANGES
        if change.lift is not None and version < change.before and operation in change.operations
    ]
    return tuple(step for _, step in sorted(apply, key=lambda entry: entry[0]))


@cache
def _lowers(operation: str, version: Version) -> tuple[Lower, ...]:
    """Return the changes to a result, in order."""
    apply = [
        (change.before, change.lower)
        for change in CHANGES
        if change.lower is not None and version < change.before and operation in change.operations
    ]
    return tuple(step for _, step in sorted(apply, key=lambda entry: entry[0], reverse=True))


def lift(
    operation: str,
    version: Version,
    query: dict[str, list[str]],
    body: Any,
    notices: list[str] | None = None,
) -> Any:
    """Convert a request of ``version`` into one of the newest version.

    Args:
        operation: ``group.operation`` of the endpoint.
        version: the client's version.
        query: the query parameters; changed in place.
        body: the body's JSON as builtins, or None; may be changed in place.
        notices: if given, receives warnings for the result (see :func:`lower`).

    Returns:
        The body at the newest version.

    Raises:
        InvalidParameter: the request uses something that its version does not have.
    """
    if version >= MAX_VERSION:
        return body
    steps = _lifts(operation, version)
    if not steps:
        return body
    call = Call(version, query, body)
    for step in steps:
        step(call)
    if notices is not None:
        notices += call.notices
    return call.body


def lowers(operation: str, version: Version) -> bool:
    """Whether :func:`lower` would change results; otherwise they can be sent unchanged."""
    return version < MAX_VERSION and bool(_lowers(operation, version))


def lower(operation: str, version: Version, result: Any, notices: Sequence[str] = ()) -> Any:
    """Convert a result of the newest version into one of ``version``.

    Args:
        operation: ``group.operation`` of the endpoint.
        version: the client's version.
        result: JSON as builtins, or one message of a stream; may be changed in place.
        notices: warnings of :func:`lift`, added to ``Warnings``.

    Returns:
        The result of the client's version; None if nothing is to be sent.
    """
    if notices and isinstance(result, dict):
        result["Warnings"] = [*(result.get("Warnings") or ()), *notices]
    if version >= MAX_VERSION:
        return result
    for step in _lowers(operation, version):
        result = step(result)
        if result is None:
            return None
    return result
