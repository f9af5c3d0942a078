"""Conversion of responses of older API versions to the newest; no I/O.

It reverses the lowerings in :mod:`palan.api.changes`, as far as an older engine's response has
the information. Fields that newer versions removed are dropped by decoding.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from palan.api._base import UNSET
from palan.api.version import Version


__all__ = ["document_lifts", "message_lifts"]

DocumentLift = Callable[[Any], Any]
MessageLift = Callable[[Any], None]


@cache
def document_lifts(operation: str, version: Version) -> tuple[DocumentLift, ...]:
    """Return the functions to apply to a response's JSON (as builtins), the oldest first."""
    steps = [
        (before, step)
        for before, operations, step in _DOCUMENT_LIFTS
        if version < before and operation in operations
    ]
    return tuple(step for _, step in sorted(steps, key=lambda entry: entry[0]))


@cache
def message_lifts(operation: str, version: Version) -> tuple[MessageLift, ...]:
    """Return the functions that change decoded messages in place, which is faster."""
    return tuple(
        step
        for before, operations, step in _MESSAGE_LIFTS
        if version < before and operation in operations
    )


def _dictionaries(value: Any) -> list[dict[str, Any]]:
    return [one for one in value or () if isinstance(one, dict)] if isinstance(value, list) else []


def _networks_of_task(services: Any) -> Any:
    """Copy a service's networks to its task, where they are since 1.25."""
    for service in [services] if isinstance(services, dict) else _dictionaries(services):
        for name in ("Spec", "PreviousSpec"):
            spec = service.get(name)
            if isinstance(spec, dict) and spec.get("Networks"):
                task = spec.setdefault("TaskTemplate", {})
                task.setdefault("Networks", spec["Networks"])
    return services


def _usage_sums(usage: Any) -> Any:
    """Compute the sums of 1.52 from the lists that older versions have."""
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
    """Return a size or count; 0 if it is unknown (negative or absent)."""
    number = value.get(key)
    return max(0, number) if isinstance(number, int) else 0


def _event_with_actor(event: Any) -> Any:
    """Fill action and actor of flat events (before 1.22, and some of Podman's)."""
    if isinstance(event, dict) and not event.get("Action") and event.get("status"):
        event["Action"] = event["status"]
        event.setdefault("Type", "container")
        actor = event.get("Actor") or {}
        event["Actor"] = {**actor, "ID": actor.get("ID") or event.get("id", "")}
    return event


_DOCUMENT_LIFTS: Final[tuple[tuple[Version, tuple[str, ...], DocumentLift], ...]] = (
    (Version(1, 25), ("services.list", "services.inspect"), _networks_of_task),
    (Version(1, 52), ("system.disk_usage",), _usage_sums),
    (Version(1, 52), ("system.events",), _event_with_actor),
)


# ---- messages ------------------------------------------------------------------

_NONE_NAMES: Final = {"<none>:<none>", "<none>@<none>"}

_HEALTH: Final = {
    "(healthy)": "healthy",
    "(unhealthy)": "unhealthy",
    "(health: starting)": "starting",
}


def _remove_none_names(images: Any) -> None:
    """Remove the placeholders ``<none>`` that unnamed images have below 1.43."""
    for image in images:
        if image.repo_tags and _NONE_NAMES.issuperset(image.repo_tags):
            image.repo_tags = []
        if image.repo_digests and _NONE_NAMES.issuperset(image.repo_digests):
            image.repo_digests = []


def _health_in_status(containers: Any) -> None:
    """Read a container's health from its status text, the only place of it below 1.52."""
    for container in containers:
        if container.status.endswith(")") and container.health.status == "none":
            _, parenthesis, text = container.status.rpartition("(")
            health = _HEALTH.get(parenthesis + text)
            if health is not None:
                container.health.status = health


def _remove_zero_time(image: Any) -> None:
    """Unset the zero time that an image without time of creation has below 1.44."""
    if image.created == "0001-01-01T00:00:00Z":
        image.created = UNSET


_MESSAGE_LIFTS: Final[tuple[tuple[Version, tuple[str, ...], MessageLift], ...]] = (
    (Version(1, 43), ("images.list",), _remove_none_names),
    (Version(1, 44), ("images.inspect",), _remove_zero_time),
    (Version(1, 52), ("containers.list",), _health_in_status),
)
