"""The filters of ``GET /events``."""

from collections.abc import Callable, Mapping

from palan.api import Filters
from palan.api.system import EventMessage


__all__ = ["event_test"]

OBJECTS = ("container", "plugin", "volume", "network", "service", "node", "secret", "config")


def event_test(filters: Filters) -> Callable[[EventMessage], bool]:
    """Return the predicate of some filters; unknown filters are ignored, as by dockerd."""

    def test(event: EventMessage) -> bool:
        attributes = event.actor.attributes or {}
        return (
            filters.matches("event", lambda wanted: _is_action(event.action, wanted))
            and filters.exact("type", event.type)
            and filters.exact("scope", event.scope)
            and _matches_daemon(filters, event, attributes)
            and filters.labels(attributes)
            and all(_matches(filters, kind, event, attributes) for kind in OBJECTS)
            and _matches_image(filters, event, attributes)
        )

    return test


def _is_action(action: str, wanted: str) -> bool:
    """Whether an action is wanted; ``exec_create`` also means ``exec_create: sh -c true``."""
    return action == wanted or action.partition(":")[0] == wanted


def _matches_daemon(filters: Filters, event: EventMessage, attributes: Mapping[str, str]) -> bool:
    if "daemon" not in filters:
        return True
    return event.type == "daemon" and (
        filters.exact("daemon", event.actor.id)
        or filters.exact("daemon", attributes.get("name", ""))
    )


def _matches(
    filters: Filters, kind: str, event: EventMessage, attributes: Mapping[str, str]
) -> bool:
    """Whether the event is about one of the given objects, by a prefix of its id or name."""
    if kind not in filters:
        return True
    names = (event.actor.id, attributes.get("name", ""))
    return event.type == kind and filters.matches(
        kind, lambda wanted: any(name.startswith(wanted) for name in names if name)
    )


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
