"""Exec: additional processes in a running container."""

from typing import Annotated

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._common import IDResponse
from palan.api._container_config import StrSlice
from palan.api.annotations import Body, Integer
from palan.api.endpoint import Group
from palan.api.results import Hijack, Json, NoContent


__all__ = [
    "ExecConfig",
    "ExecCreate",
    "ExecInspect",
    "ExecInspectResponse",
    "ExecResize",
    "ExecStart",
    "ExecStartConfig",
    "IDResponse",
    "ProcessConfig",
    "group",
]

group = Group("exec", "Additional processes in a running container.")


class ExecConfig(Message):
    """A process to run in a container."""

    user: str = ""
    """The user; the container's by default."""

    privileged: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """Height and width of the TTY at start."""

    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    """Additional variables, ``NAME=value``."""

    working_dir: str = ""
    """The working directory; the container's by default."""

    cmd: StrSlice = None


class ExecStartConfig(Message):
    """Options for starting a process."""

    detach: bool = False
    """Do not connect to the streams of the process."""

    tty: bool = False
    """Send raw output instead of frames; create decides whether there is a TTY."""

    console_size: tuple[int, int] | None = None
    """Height and width of the TTY."""


class ProcessConfig(Message):
    """The command of a process."""

    tty: bool = field(name="tty", default=False)
    entrypoint: str = field(name="entrypoint", default="")
    arguments: list[str] = field(name="arguments", default_factory=list)
    privileged: bool = field(name="privileged", default=False)
    user: str | Unset = field(name="user", default=UNSET)


class ExecInspectResponse(Message):
    """A process in a container, before its start, while it runs, or after its end."""

    id: str = field(name="ID")
    running: bool = False
    exit_code: int | None = None
    """The exit code; null before the end."""

    process_config: ProcessConfig = field(default_factory=ProcessConfig)
    open_stdin: bool = False
    open_stderr: bool = False
    open_stdout: bool = False
    can_remove: bool = False
    container_id: str = field(name="ContainerID", default="")
    detach_keys: str = ""
    """The bytes of the detach keys in base64."""

    pid: int = 0


@group.endpoint(
    "POST",
    "/containers/{id}/exec",
    operation="create",
    result=Json(IDResponse, status=201),
    raises=(404, 409),
)
class ExecCreate(Request):
    """Prepare a process in a running container."""

    id: str
    body: Annotated[ExecConfig, Body(struct="ExecCreateRequest")] = field(
        default_factory=ExecConfig
    )


@group.endpoint("POST", "/exec/{id}/start", operation="start", result=Hijack(), raises=(404, 409))
class ExecStart(Request):
    """Start a prepared process.

    If it is detached, the answer is 200 without a body.
    """

    id: str
    body: Annotated[ExecStartConfig, Body(struct="ExecStartRequest")] = field(
        default_factory=ExecStartConfig
    )


@group.endpoint(
    "POST",
    "/exec/{id}/resize",
    operation="resize",
    result=NoContent(status=200),
    raises=(404, 409),
)
class ExecResize(Request):
    """Set the size of the terminal of a process, in characters."""

    id: str
    h: Annotated[int, Integer("invalid resize height {quoted}: {reason}", range(2**32))]
    """The height in rows."""

    w: Annotated[int, Integer("invalid resize width {quoted}: {reason}", range(2**32))]
    """The width in columns."""


@group.endpoint(
    "GET",
    "/exec/{id}/json",
    operation="inspect",
    result=Json(ExecInspectResponse),
    raises=(404,),
)
class ExecInspect(Request):
    """Return information about a process in a container."""

    id: str
