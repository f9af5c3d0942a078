"""Exec: more processes in a running container."""

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

group = Group("exec", "More processes in a running container.")


class ExecConfig(Message):
    """A process to run in a container."""

    user: str = ""
    """Empty for the container's own."""

    privileged: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """Height and width of the TTY at start."""

    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    """``NAME=value``, beside the container's own."""

    working_dir: str = ""
    """Empty for the container's own."""

    cmd: StrSlice = None


class ExecStartConfig(Message):
    """How to start a process that was set up."""

    detach: bool = False
    """Do not stay connected to its streams."""

    tty: bool = False
    """Send output as it is, not in frames; whether there is a TTY was said at create."""

    console_size: tuple[int, int] | None = None
    """Height and width of the TTY."""


class ProcessConfig(Message):
    """What a process runs."""

    tty: bool = field(name="tty", default=False)
    entrypoint: str = field(name="entrypoint", default="")
    arguments: list[str] = field(name="arguments", default_factory=list)
    privileged: bool = field(name="privileged", default=False)
    user: str | Unset = field(name="user", default=UNSET)


class ExecInspectResponse(Message):
    """A process in a container, set up, running or ended."""

    id: str = field(name="ID")
    running: bool = False
    exit_code: int | None = None
    """None until it has ended."""

    process_config: ProcessConfig = field(default_factory=ProcessConfig)
    open_stdin: bool = False
    open_stderr: bool = False
    open_stdout: bool = False
    can_remove: bool = False
    container_id: str = field(name="ContainerID", default="")
    detach_keys: str = ""
    """The bytes of the keys, in base64."""

    pid: int = 0


@group.endpoint(
    "POST",
    "/containers/{id}/exec",
    operation="create",
    result=Json(IDResponse, status=201),
    raises=(404, 409),
)
class ExecCreate(Request):
    """Set up a process in a running container."""

    id: str
    body: Annotated[ExecConfig, Body(struct="ExecCreateRequest")] = field(
        default_factory=ExecConfig
    )


@group.endpoint("POST", "/exec/{id}/start", operation="start", result=Hijack(), raises=(404, 409))
class ExecStart(Request):
    """Start a process that was set up.

    Detached, the answer is 200 without a body: the engine returns None.
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
    """Set the size of a process's terminal, in characters."""

    id: str
    h: Annotated[int, Integer("invalid resize height {quoted}: {reason}")]
    """The height in rows."""

    w: Annotated[int, Integer("invalid resize width {quoted}: {reason}")]
    """The width in columns."""


@group.endpoint(
    "GET",
    "/exec/{id}/json",
    operation="inspect",
    result=Json(ExecInspectResponse),
    raises=(404,),
)
class ExecInspect(Request):
    """Tell about a process in a container."""

    id: str
