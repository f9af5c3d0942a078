"""Messages about the progress of pull, push, load, import and build."""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Unset, camel_case


__all__ = ["ErrorDetail", "ImageID", "JSONMessage", "ProgressDetail", "PushResult"]


class ErrorDetail(Message, rename=camel_case, omit_defaults=True):
    """An error that happened after the head of the answer was sent."""

    code: int = 0
    """The exit code of a build step."""

    message: str = ""


class ProgressDetail(Message, rename=camel_case, omit_defaults=True):
    """Progress in numbers; ``{}`` if unknown."""

    current: int = 0
    total: int = 0
    start: int = 0
    """Unix seconds."""

    hide_counts: bool = field(name="hidecounts", default=False)
    units: str = ""
    """The unit; empty means bytes."""


class ImageID(Message):
    """The result of a build in ``aux``."""

    id: str = field(name="ID")


class PushResult(Message):
    """The result of a push in ``aux``: the manifest in the registry."""

    tag: str
    digest: str
    size: int


class JSONMessage(Message, rename=camel_case):
    """One message (BuildInfo, CreateImageInfo and PushImageInfo in Docker's description)."""

    stream: str | Unset = UNSET
    """Text to print unchanged."""

    status: str | Unset = UNSET
    progress_detail: ProgressDetail | Unset = UNSET
    id: str | Unset = UNSET
    """The subject of ``status``, such as a layer; it has a line of its own on a terminal."""

    error_detail: ErrorDetail | Unset = UNSET
    error: str | Unset = UNSET
    """The message of ``error_detail``, for old clients."""

    aux: Any = UNSET
    """Results for programs: :class:`ImageID`, :class:`PushResult`, BuildKit's trace."""
