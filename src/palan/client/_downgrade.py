"""Translation of requests of the newest API version to an older one; no I/O.

An older engine silently ignores fields that it does not know; here, such a field is an error.
It is found by applying the engine's own conversion from the older version to the newest: the
fields that it removes would have had no effect.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from palan.api.version import Version
from palan.client.errors import NotSupported


__all__ = ["downgrade"]

Lift = Callable[[str, Version, dict[str, list[str]], Any], Any]

_RENAMED: Final = {
    "MacAddress",  # of the container: the old place of an endpoint's
    "HostConfig.Sysctls",  # of interfaces: the old place of a driver option
    "Networks",  # of a service: the old place of its task's
}
"""Paths that older versions know, though the newest does not."""


def downgrade(
    operation: str, version: Version, query: dict[str, list[str]], document: Any, lift: Lift
) -> None:
    """Change a request in place to the form that it has in an older version.

    Args:
        operation: ``group.operation``.
        version: the engine's version.
        query: the query parameters.
        document: the body's JSON as builtins, None if the request has no body.
        lift: the engine's conversion of requests from older versions to the newest.

    Raises:
        NotSupported: the request uses a field or parameter that the version does not have.
    """
    for before, operations, step in _STEPS:
        if version < before and operation in operations:
            step(query, document)
    lifted_query = {name: list(values) for name, values in query.items()}
    lifted = lift(operation, version, lifted_query, copy.deepcopy(document))
    lost = [name for name in query if name not in lifted_query and name not in _OLD_QUERY]
    lost += [path for path in _lost(document, lifted, "") if path not in _RENAMED]
    if lost:
        verb = "is" if len(lost) == 1 else "are"
        raise NotSupported(f"{', '.join(lost)} {verb} not known to API version {version}")


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    """Yield the paths of keys that are in ``given`` but not in ``kept``."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            below = f"{path}.{key}" if path else key
            if below in _RENAMED:
                continue
            if key not in kept:
                yield below
            else:
                yield from _lost(value, kept[key], below)
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (one, other) in enumerate(zip(given, kept, strict=False)):
            yield from _lost(one, other, f"{path}[{number}]")


# ---- fields that had another form in older versions ------------------------------

_OLD_QUERY: Final = {"keep-storage"}


def _require_all_filter(query: dict[str, list[str]], _document: Any) -> None:
    """Require the filter ``all`` below 1.42, where a prune always removes named volumes too."""
    if '"all"' not in "".join(query.get("filters", ())):
        raise NotSupported(
            "below API version 1.42 an engine prunes named volumes too; "
            'ask for that with filters={"all": True}'
        )
    import msgspec

    filters = msgspec.json.decode(query["filters"][0])
    filters.pop("all")
    query["filters"] = [msgspec.json.encode(filters).decode()]


def _keep_storage(query: dict[str, list[str]], _document: Any) -> None:
    """Below 1.48, the only limit of the build cache is ``keep-storage``."""
    if "reserved-space" in query:
        query["keep-storage"] = query.pop("reserved-space")


def _mac_address_of_container(_query: dict[str, list[str]], document: Any) -> None:
    """Below 1.44, the MAC address belongs to the container, not to an endpoint."""
    endpoints = ((document or {}).get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    for settings in endpoints.values():
        if settings and "MacAddress" in settings and len(endpoints) == 1:
            document["MacAddress"] = settings.pop("MacAddress")


_STEPS: Final = (
    (Version(1, 42), ("volumes.prune",), _require_all_filter),
    (Version(1, 48), ("build.prune",), _keep_storage),
    (Version(1, 44), ("containers.create",), _mac_address_of_container),
)
