"""Bodies and small results of requests about containers."""

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
    """The configuration of a new container, and the settings to run it on this machine."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


class ContainerCreateResponse(Message):
    """The new container."""

    id: str
    warnings: list[str] = field(default_factory=list)


class ContainerUpdateBody(Resources):
    """New limits of a container; zero and null leave a limit unchanged."""

    restart_policy: RestartPolicy | None = None


class ContainerUpdateResponse(Message):
    """The warnings of an update."""

    warnings: list[str] | None = None


class ContainerTopResponse(Message):
    """The processes of a container, as shown by ``ps``."""

    processes: list[list[str]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)


class ContainerWaitExitError(Message):
    """The reason why there is no exit status."""

    message: str = ""


class ContainerWaitResponse(Message):
    """The end of a container."""

    status_code: int = 0
    error: ContainerWaitExitError | Unset = UNSET


class FilesystemChange(Message):
    """A path that differs from the image."""

    path: str
    kind: int
    """0 is modified, 1 is added, 2 is deleted."""


class ContainerPruneResponse(Message):
    """The containers that were removed."""

    containers_deleted: list[str] | None = None
    space_reclaimed: int = 0
    """Bytes."""


class Checkpoint(Message):
    """A saved state of a container's processes."""

    name: str = ""


class CheckpointCreateBody(Message):
    """A checkpoint to create."""

    checkpoint_id: str = field(name="CheckpointID", default="")
    checkpoint_dir: str = ""
    """The directory for the checkpoint; by default one of the container."""

    exit: bool = False
    """Stop the container afterwards."""
