"""The files of containers, and checkpoints of their processes."""

from typing import Annotated

from msgspec import field

from palan.api._base import Request
from palan.api._container_messages import Checkpoint, CheckpointCreateBody, FilesystemChange
from palan.api._containers_group import group
from palan.api.annotations import NotEmpty
from palan.api.results import NO_CONTENT, Bytes, ByteSource, Json, NoContent, Stat
from palan.api.version import Version


__all__ = [
    "CheckpointCreate",
    "CheckpointList",
    "CheckpointRemove",
    "ContainerArchiveGet",
    "ContainerArchiveInfo",
    "ContainerArchivePut",
    "ContainerChanges",
    "ContainerExport",
]


@group.endpoint(
    "GET",
    "/containers/{id}/changes",
    operation="changes",
    result=Json(list[FilesystemChange]),
    raises=(404,),
)
class ContainerChanges(Request):
    """List the files of a container that differ from its image."""

    id: str


@group.endpoint(
    "GET",
    "/containers/{id}/export",
    operation="export",
    result=Bytes("application/octet-stream"),
    raises=(404,),
)
class ContainerExport(Request):
    """Read all files of a container as a tar archive."""

    id: str


@group.endpoint(
    "HEAD", "/containers/{id}/archive", operation="archive_info", result=Stat(), raises=(404,)
)
class ContainerArchiveInfo(Request):
    """Return the status of a path in a container."""

    id: str
    path: Annotated[str, NotEmpty()]


@group.endpoint(
    "GET",
    "/containers/{id}/archive",
    operation="archive_get",
    result=Bytes(compressible=True),
    raises=(404,),
)
class ContainerArchiveGet(Request):
    """Read a path in a container as a tar archive.

    The answer carries the header ``X-Docker-Container-Path-Stat``
    (:meth:`palan.api.results.PathStat.header`).
    """

    id: str
    path: Annotated[str, NotEmpty()]
    """The path; with ``/.`` at the end, only the contents of a directory."""


@group.endpoint(
    "PUT",
    "/containers/{id}/archive",
    operation="archive_put",
    result=NoContent(status=200),
    raises=(403, 404),
    slow=True,
)
class ContainerArchivePut(Request):
    """Unpack a tar archive into a directory of a container."""

    id: str
    path: Annotated[str, NotEmpty()]
    """The directory to unpack into."""

    body: ByteSource
    """A tar archive, plain or compressed."""

    no_overwrite_dir_non_dir: bool = False
    """Refuse to replace a directory by something else, and the reverse."""

    copy_uidgid: bool = field(name="copyUIDGID", default=False)
    """Set the owner of all files to the container's user, if it has one."""


@group.endpoint(
    "GET",
    "/containers/{id}/checkpoints",
    operation="checkpoint_list",
    result=Json(list[Checkpoint]),
    raises=(404,),
    since=Version(1, 25),
)
class CheckpointList(Request):
    """List the checkpoints of a container."""

    id: str
    dir: str = ""
    """The directory of the checkpoints; by default the container's."""


@group.endpoint(
    "POST",
    "/containers/{id}/checkpoints",
    operation="checkpoint_create",
    result=NoContent(status=201),
    raises=(404, 409),
    since=Version(1, 25),
    slow=True,
)
class CheckpointCreate(Request):
    """Save the state of a container's processes."""

    id: str
    body: CheckpointCreateBody


@group.endpoint(
    "DELETE",
    "/containers/{id}/checkpoints/{checkpoint}",
    operation="checkpoint_remove",
    result=NO_CONTENT,
    raises=(404,),
    since=Version(1, 25),
)
class CheckpointRemove(Request):
    """Remove a checkpoint."""

    id: str
    checkpoint: str
    dir: str = ""
    """The directory of the checkpoint; by default the container's."""
