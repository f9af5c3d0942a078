"""Input and output of containers: logs, attach, and the size of a terminal."""

from typing import Annotated

from palan.api._base import Request
from palan.api._containers_group import group
from palan.api.annotations import Integer
from palan.api.results import Hijack, NoContent, RawFrames


__all__ = ["ContainerAttach", "ContainerAttachWebSocket", "ContainerLogs", "ContainerResize"]


@group.endpoint("GET", "/containers/{id}/logs", operation="logs", result=RawFrames(), raises=(404,))
class ContainerLogs(Request):
    """Return the logs of a container."""

    id: str
    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: str = ""
    """Only output since this time: Unix seconds with an optional fraction, or RFC 3339."""

    until: str = ""
    """Only output before this time, in the same formats."""

    timestamps: bool = False
    details: bool = False
    """Begin each line with the labels and variables that the log configuration names."""

    tail: str = "all"
    """The number of lines from the end; anything but a number means all."""


@group.endpoint(
    "POST",
    "/containers/{id}/attach",
    operation="attach",
    result=Hijack(early=True),
    raises=(404, 409),
)
class ContainerAttach(Request):
    """Connect to the streams of a container."""

    id: str
    detach_keys: str = ""
    """The keys that detach; ``ctrl-p,ctrl-q`` by default."""

    logs: bool = False
    """Return the output so far."""

    stream: bool = False
    """Stream the output from now on."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


@group.endpoint(
    "GET",
    "/containers/{id}/attach/ws",
    operation="attach_websocket",
    result=Hijack(upgrade="websocket"),
    raises=(404, 409),
)
class ContainerAttachWebSocket(Request):
    """Connect to the streams of a container through a WebSocket."""

    id: str
    detach_keys: str = ""
    logs: bool = False
    stream: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


@group.endpoint(
    "POST",
    "/containers/{id}/resize",
    operation="resize",
    result=NoContent(status=200),
    raises=(404, 409),
)
class ContainerResize(Request):
    """Set the size of a container's terminal, in characters."""

    id: str
    h: Annotated[int, Integer("invalid resize height {quoted}: {reason}", range(2**32))]
    """The height in rows."""

    w: Annotated[int, Integer("invalid resize width {quoted}: {reason}", range(2**32))]
    """The width in columns."""
