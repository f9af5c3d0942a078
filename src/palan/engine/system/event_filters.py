"""The filters of ``GET /events``."""

from collections.abc import Callable, Mapping
from typing import Final

from palan.api import Filters
from palan.api.system import EventMessage


__all__ = ["event_test"]

_BEGINNINGS: Final = ("exec_create", "exec_start", "health_status")

OBJECTS: Final = (
    "daemon", "container", "plugin", "volume", "network", "service", "node", "secret", "config",
)  # fmt: skip


def event_test(filters: Filters) -> Callable[[EventMessage], bool]:
    """Return the predicate of some filters; unknown filters are ignored, as by dockerd."""

    def test(event: EventMessage) -> bool:
        attributes = event.actor.attributes or {}
        return (
            _matches_action(filters, event.action)
            and filters.exact("type", event.type)
            and filters.exact("scope", event.scope)
            and filters.labels(attributes)
            and all(_matches(filters, kind, event, attributes) for kind in OBJECTS)
            and _matches_image(filters, event, attributes)
        )

    return test


def _matches_action(filters: Filters, action: str) -> bool:
    """Whether an action is wanted; ``exec_create`` also means ``exec_create: sh -c true``.

    As in dockerd, all values are beginnings of actions once one of these three is given.
    """
    if any(wanted in _BEGINNINGS for wanted in filters.get("event")):
        return filters.matches("event", action.startswith)
    return filters.exact("event", action)


def _matches(
    filters: Filters, kind: str, event: EventMessage, attributes: Mapping[str, str]
) -> bool:
    """Whether the event is about one of the given objects, by a prefix of its id or name.

    As in dockerd, the object may be of any kind: filter by ``type`` as well.
    """
    names = (event.actor.id, attributes.get("name", ""))
    return filters.matches(kind, lambda wanted: any(name.startswith(wanted) for name in names))


def _matches_image(filters: Filters, event: EventMessage, attributes: Mapping[str, str]) -> bool:
    """Whether the event is about one of the given images or a container of one."""
    if "image" not in filters:
        return True
    names = {event.actor.id, attributes.get("name" if event.type == "image" else "image", "")}
    # A name without its tag means all its tags.
    names |= {_without_tag(name) for name in names}
    return filters.matches("image", lambda wanted: wanted in names and bool(wanted))


def _without_tag(name: str) -> str:
    """Return ``registry:5000/web`` for ``registry:5000/web:1``; ids stay as they are."""
    name = name.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail and head != "sha256" else name
