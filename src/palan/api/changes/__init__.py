"""What differed in older versions of the API, so that only the edge knows them.

A request is *lifted* from the caller's version to the newest before it is decoded,
a result is *lowered* to the caller's version after it was encoded.  Each difference
is one small :class:`Change`; a caller meets those of all versions above its own,
the oldest first on the way up and the newest first on the way down.

The reference is what dockerd 29 does for old callers, not what engines of their
time did: where dockerd ignores or keeps something for all versions, so do we.
Content types, and when heads are sent, are the server's business.
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
    """What to apply on the way up, in order."""
    apply = [
        (change.before, change.lift)
        for change in CHANGES
        if change.lift is not None and version < change.before and operation in change.operations
    ]
    return tuple(step for _, step in sorted(apply, key=lambda entry: entry[0]))


@cache
def _lowers(operation: str, version: Version) -> tuple[Lower, ...]:
    """What to apply on the way down, in order."""
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
    """Make of a request at ``version`` one at the newest version.

    Args:
        operation: ``group.operation`` of the endpoint.
        version: the caller's.
        query: the query parameters; changed in place.
        body: the body's JSON as builtins, None if there is none; may be changed in place.
        notices: if given, takes what the caller should be told among the warnings of
            the result (see :func:`lower`).

    Returns:
        The body at the newest version.

    Raises:
        InvalidParameter: the request asks for what its version did not have.
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
    """Whether :func:`lower` would do anything; if not, a result can be sent as it is."""
    return version < MAX_VERSION and bool(_lowers(operation, version))


def lower(operation: str, version: Version, result: Any, notices: Sequence[str] = ()) -> Any:
    """Make of a result at the newest version one at ``version``.

    Args:
        operation: ``group.operation`` of the endpoint.
        version: the caller's.
        result: JSON as builtins, of a stream one message; may be changed in place.
        notices: what :func:`lift` had to say; goes to ``Warnings``.

    Returns:
        The result at the caller's version; None if nothing is to be sent at all.
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
