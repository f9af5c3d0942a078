"""Requests in the words of an older API version; no I/O.

What the newest version's request asks for and an older one would silently ignore is an
error here, found by making the engine's own steps from that version to the newest: what they
take away would have had no effect.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from palan.api.version import Version
from palan.client.errors import NotSupported


__all__ = ["downgrade"]

Lift = Callable[[str, Version, dict[str, list[str]], Any], Any]

_MOVED: Final = {
    "MacAddress",  # of the container: the old place of an endpoint's
    "HostConfig.Sysctls",  # of interfaces: the old place of a driver option
    "Networks",  # of a service: the old place of its task's
}
"""What older versions do know, under a name that the newest does not have."""


def downgrade(
    operation: str, version: Version, query: dict[str, list[str]], document: Any, lift: Lift
) -> None:
    """Change a request, in place, to what it is at an older version.

    Args:
        operation: ``group.operation``.
        version: the engine's.
        query: the query parameters.
        document: the body's JSON as builtins, None if there is none.
        lift: what the engine does with requests of older versions.

    Raises:
        NotSupported: the request asks for what that version does not have.
    """
    for before, operations, step in _STEPS:
        if version < before and operation in operations:
            step(query, document)
    lifted_query = {name: list(values) for name, values in query.items()}
    lifted = lift(operation, version, lifted_query, copy.deepcopy(document))
    lost = [name for name in query if name not in lifted_query and name not in _OLD_QUERY]
    lost += [path for path in _lost(document, lifted, "") if path not in _MOVED]
    if lost:
        verb = "is" if len(lost) == 1 else "are"
        raise NotSupported(f"{', '.join(lost)} {verb} not known to API version {version}")


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    """Paths of the keys that are no longer there."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            below = f"{path}.{key}" if path else key
            if below in _MOVED:
                continue
            if key not in kept:
                yield below
            else:
                yield from _lost(value, kept[key], below)
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (one, other) in enumerate(zip(given, kept, strict=False)):
            yield from _lost(one, other, f"{path}[{number}]")


# ---- what stood elsewhere ------------------------------------------------------

_OLD_QUERY: Final = {"keep-storage"}


def _prune_of_all(query: dict[str, list[str]], _document: Any) -> None:
    """Below 1.42, named volumes were pruned too: that must be what the caller wants."""
    if '"all"' not in "".join(query.get("filters", ())):
        raise NotSupported(
            "below API version 1.42 an engine prunes named volumes too; "
            'ask for that with filters={"all": True}'
        )
    import msgspec

    filters = msgspec.json.decode(query["filters"][0])
    filters.pop("all")
    query["filters"] = [msgspec.json.encode(filters).decode()]


def _one_limit_of_storage(query: dict[str, list[str]], _document: Any) -> None:
    """1.48 has three limits where there was one."""
    if "reserved-space" in query:
        query["keep-storage"] = query.pop("reserved-space")


def _address_of_container(_query: dict[str, list[str]], document: Any) -> None:
    """1.44 has hardware addresses of endpoints; below, the container had one."""
    endpoints = ((document or {}).get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    for settings in endpoints.values():
        if settings and "MacAddress" in settings and len(endpoints) == 1:
            document["MacAddress"] = settings.pop("MacAddress")


_STEPS: Final = (
    (Version(1, 42), ("volumes.prune",), _prune_of_all),
    (Version(1, 48), ("build.prune",), _one_limit_of_storage),
    (Version(1, 44), ("containers.create",), _address_of_container),
)
