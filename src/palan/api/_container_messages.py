"""Bodies of the requests about containers, and their smaller answers."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_config import ContainerConfig
from palan.api._host_config import HostConfig, Resources, RestartPolicy
from palan.api._network_types import NetworkingConfig


__all__ = [
    "Checkpoint",
    "CheckpointCreateBody",
    "ContainerCreateBody",
    "ContainerCreateResponse",
    "ContainerPruneResponse",
    "ContainerTopResponse",
    "ContainerUpdateBody",
    "ContainerUpdateResponse",
    "ContainerWaitExitError",
    "ContainerWaitResponse",
    "FilesystemChange",
]


class ContainerCreateBody(ContainerConfig):
    """What a new container shall be: its configuration and how to run it here."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


class ContainerCreateResponse(Message):
    """The new container."""

    id: str
    warnings: list[str] = field(default_factory=list)


class ContainerUpdateBody(Resources):
    """New limits of a container; what is zero or null stays as it is."""

    restart_policy: RestartPolicy | None = None


class ContainerUpdateResponse(Message):
    """What is remarkable about an update."""

    warnings: list[str] | None = None


class ContainerTopResponse(Message):
    """The processes of a container, as ``ps`` shows them."""

    processes: list[list[str]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)


class ContainerWaitExitError(Message):
    """Why there is no exit status."""

    message: str = ""


class ContainerWaitResponse(Message):
    """How a container ended."""

    status_code: int = 0
    error: ContainerWaitExitError | Unset = UNSET


class FilesystemChange(Message):
    """A path that differs from the image's."""

    path: str
    kind: int
    """0 modified, 1 added, 2 deleted."""


class ContainerPruneResponse(Message):
    """The containers that were removed."""

    containers_deleted: list[str] | None = None
    space_reclaimed: int = 0
    """Bytes."""


class Checkpoint(Message):
    """A container's processes, frozen on disk."""

    name: str = ""


class CheckpointCreateBody(Message):
    """Which checkpoint to make."""

    checkpoint_id: str = field(name="CheckpointID", default="")
    checkpoint_dir: str = ""
    """Where to keep it; empty is with the container."""

    exit: bool = False
    """Stop the container afterwards."""
