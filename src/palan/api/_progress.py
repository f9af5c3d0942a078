"""Progress of long work: the lines that pull, push, load, import and build send."""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Unset, camel_case


__all__ = ["ErrorDetail", "ImageID", "JSONMessage", "ProgressDetail", "PushResult"]


class ErrorDetail(Message, rename=camel_case, omit_defaults=True):
    """What went wrong after the answer had begun."""

    code: int = 0
    """The exit code of a build step."""

    message: str = ""


class ProgressDetail(Message, rename=camel_case, omit_defaults=True):
    """How far it is; ``{}`` where that is not known."""

    current: int = 0
    total: int = 0
    start: int = 0
    """Unix seconds."""

    hide_counts: bool = field(name="hidecounts", default=False)
    units: str = ""
    """Empty for bytes."""


class ImageID(Message):
    """``aux`` of a build: the image that was built."""

    id: str = field(name="ID")


class PushResult(Message):
    """``aux`` of a push: the manifest that is now in the registry."""

    tag: str
    digest: str
    size: int


class JSONMessage(Message, rename=camel_case):
    """One line.  In Docker's description: BuildInfo, CreateImageInfo and PushImageInfo."""

    stream: str | Unset = UNSET
    """Output for people, printed as it is."""

    status: str | Unset = UNSET
    progress_detail: ProgressDetail | Unset = UNSET
    id: str | Unset = UNSET
    """What ``status`` is about, such as a layer: a line on the terminal."""

    error_detail: ErrorDetail | Unset = UNSET
    error: str | Unset = UNSET
    """The message of ``error_detail`` once more; old clients read only this."""

    aux: Any = UNSET
    """Results for programs: :class:`ImageID`, :class:`PushResult`, BuildKit's trace."""
