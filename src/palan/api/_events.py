"""Events about the engine's objects."""

from msgspec import field

from palan.api._base import Message


__all__ = ["EventActor", "EventMessage"]


class EventActor(Message):
    """The object that an event is about."""

    id: str = field(name="ID", default="")
    attributes: dict[str, str] = field(default_factory=dict)
    """Labels of the object and details of the event (``image``, ``name``, ``exitCode``)."""


class EventMessage(Message):
    """One event."""

    type: str = ""
    """``container``, ``image``, ``volume``, ``network``, ``daemon``, ``plugin``, ``builder``,
    ``service``, ``node``, ``secret`` or ``config``."""

    action: str = ""
    actor: EventActor = field(default_factory=EventActor)
    scope: str = field(name="scope", default="local")
    """``local`` or ``swarm``."""

    time: int = field(name="time", default=0)
    """Unix seconds."""

    time_nano: int = field(name="timeNano", default=0)
    """Unix nanoseconds."""
