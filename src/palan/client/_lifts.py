"""Answers of older API versions in the words of the newest; no I/O.

The reverse of the lowerings in :mod:`palan.api.changes`, where something can be made of what
an older engine says. What only was left out since is no field of a message and is dropped
by decoding.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from palan.api._base import UNSET
from palan.api.version import Version


__all__ = ["lifts", "touches"]

Lift = Callable[[Any], Any]
Touch = Callable[[Any], None]


@cache
def lifts(operation: str, version: Version) -> tuple[Lift, ...]:
    """What to apply to the JSON of an answer, as builtins, the oldest first."""
    steps = [
        (before, step)
        for before, operations, step in _LIFTS
        if version < before and operation in operations
    ]
    return tuple(step for _, step in sorted(steps, key=lambda entry: entry[0]))


@cache
def touches(operation: str, version: Version) -> tuple[Touch, ...]:
    """What to do to the messages of an answer, in place, which is faster where it is enough."""
    return tuple(
        step
        for before, operations, step in _TOUCHES
        if version < before and operation in operations
    )


def _dictionaries(value: Any) -> list[dict[str, Any]]:
    return [one for one in value or () if isinstance(one, dict)] if isinstance(value, list) else []


def _networks_of_task(services: Any) -> Any:
    """Below 1.25, a service's networks did not stand with its task."""
    for service in [services] if isinstance(services, dict) else _dictionaries(services):
        for name in ("Spec", "PreviousSpec"):
            spec = service.get(name)
            if isinstance(spec, dict) and spec.get("Networks"):
                task = spec.setdefault("TaskTemplate", {})
                task.setdefault("Networks", spec["Networks"])
    return services


def _usage_in_sums(usage: Any) -> Any:
    """1.52 sums up what lists told before."""
    if not isinstance(usage, dict):
        return usage
    images = _dictionaries(usage.get("Images"))
    used = [image for image in images if (image.get("Containers") or 0) > 0]
    layers = usage.get("LayersSize") or 0
    usage.setdefault(
        "ImageUsage",
        {
            "ActiveCount": len(used),
            "TotalCount": len(images),
            "TotalSize": layers,
            "Reclaimable": max(0, layers - sum(_number(image, "Size") for image in used)),
        },
    )
    containers = _dictionaries(usage.get("Containers"))
    running = [one for one in containers if one.get("State") in ("running", "paused", "restarting")]
    total = sum(_number(one, "SizeRw") for one in containers)
    usage.setdefault(
        "ContainerUsage",
        {
            "ActiveCount": len(running),
            "TotalCount": len(containers),
            "TotalSize": total,
            "Reclaimable": total - sum(_number(one, "SizeRw") for one in running),
        },
    )
    volumes = [(one, one.get("UsageData") or {}) for one in _dictionaries(usage.get("Volumes"))]
    usage.setdefault(
        "VolumeUsage",
        {
            "ActiveCount": sum(_number(data, "RefCount") > 0 for _, data in volumes),
            "TotalCount": len(volumes),
            "TotalSize": sum(_number(data, "Size") for _, data in volumes),
            "Reclaimable": sum(
                _number(data, "Size") for _, data in volumes if _number(data, "RefCount") <= 0
            ),
        },
    )
    records = _dictionaries(usage.get("BuildCache"))
    usage.setdefault(
        "BuildCacheUsage",
        {
            "ActiveCount": sum(bool(one.get("InUse")) for one in records),
            "TotalCount": len(records),
            "TotalSize": sum(_number(one, "Size") for one in records if not one.get("Shared")),
            "Reclaimable": sum(
                _number(one, "Size")
                for one in records
                if not one.get("InUse") and not one.get("Shared")
            ),
        },
    )
    return usage


def _number(value: dict[str, Any], key: str) -> int:
    """A size or count; what is not known is negative or absent."""
    number = value.get(key)
    return max(0, number) if isinstance(number, int) else 0


def _unflattened_event(event: Any) -> Any:
    """Before 1.22 events were flat, and Podman leaves ``Actor`` empty at times."""
    if isinstance(event, dict) and not event.get("Action") and event.get("status"):
        event["Action"] = event["status"]
        event.setdefault("Type", "container")
        actor = event.get("Actor") or {}
        event["Actor"] = {**actor, "ID": actor.get("ID") or event.get("id", "")}
    return event


_LIFTS: Final[tuple[tuple[Version, tuple[str, ...], Lift], ...]] = (
    (Version(1, 25), ("services.list", "services.inspect"), _networks_of_task),
    (Version(1, 52), ("system.disk_usage",), _usage_in_sums),
    (Version(1, 52), ("system.events",), _unflattened_event),
)


# ---- messages ------------------------------------------------------------------

_NONE: Final = {"<none>:<none>", "<none>@<none>"}

_HEALTH: Final = {
    "(healthy)": "healthy",
    "(unhealthy)": "unhealthy",
    "(health: starting)": "starting",
}


def _none_names(images: Any) -> None:
    """Below 1.43, images without names had these for one."""
    for image in images:
        if image.repo_tags and _NONE.issuperset(image.repo_tags):
            image.repo_tags = []
        if image.repo_digests and _NONE.issuperset(image.repo_digests):
            image.repo_digests = []


def _health_in_status(containers: Any) -> None:
    """Below 1.52, lists tell a container's health among the words for people."""
    for container in containers:
        if container.status.endswith(")") and container.health.status == "none":
            _, parenthesis, words = container.status.rpartition("(")
            health = _HEALTH.get(parenthesis + words)
            if health is not None:
                container.health.status = health


def _never_created(image: Any) -> None:
    """Below 1.44, an image that does not say when it was made had a time nevertheless."""
    if image.created == "0001-01-01T00:00:00Z":
        image.created = UNSET


_TOUCHES: Final[tuple[tuple[Version, tuple[str, ...], Touch], ...]] = (
    (Version(1, 43), ("images.list",), _none_names),
    (Version(1, 44), ("images.inspect",), _never_created),
    (Version(1, 52), ("containers.list",), _health_in_status),
)
