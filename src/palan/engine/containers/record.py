"""The row of a container in the database."""

from typing import Literal

import msgspec

from palan.api import UNSET
from palan.api.containers import ContainerConfig, EndpointSettings, HostConfig, MountPoint
from palan.engine.networks.endpoint_records import SandboxRecord


__all__ = [
    "ContainerRecord",
    "MountRecord",
    "ProcessRecord",
    "Status",
]

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]


class ProcessRecord(msgspec.Struct, kw_only=True):
    """A process, identified by its pid and its start time in clock ticks since boot."""

    pid: int
    start_time: int


class MountRecord(msgspec.Struct, kw_only=True):
    """A mount of a container."""

    kind: str
    """``bind``, ``volume``, ``tmpfs`` or ``image``."""
    destination: str
    source: str = ""
    """Absolute path on the host; empty for a tmpfs, and where a driver has not mounted it yet."""
    volume: str = ""
    driver: str = "local"
    """The driver of the volume."""
    subpath: str = ""
    """The part of the volume or the image that is mounted; empty for all of it."""
    image: str = ""
    """The id of a mounted image."""
    reference: str = ""
    """The name of the image in the request."""
    layers: list[str] = []
    """The unpacked layers of the image, the lowest first."""
    read_only: bool = False
    mode: str = ""
    """The options of the short form, for inspect."""
    propagation: str = ""
    recursive: bool = True
    read_only_recursive: Literal["possible", "never", "required"] = "possible"
    create_source: bool = False
    tmpfs_options: str = ""
    listed: bool = True
    """Whether inspect lists it."""

    def point(self) -> MountPoint:
        """Return the mount as inspect lists it."""
        return MountPoint(
            type=self.kind,
            name=self.volume or self.reference or UNSET,
            source=self.source,
            destination=self.destination,
            driver=self.driver if self.volume else UNSET,
            mode=self.mode,
            rw=not self.read_only,
            propagation=self.propagation,
        )


class ContainerRecord(msgspec.Struct, kw_only=True):
    """The stored part of a container.  Times are nanoseconds since the epoch, 0 for never."""

    id: str
    name: str
    created: int
    image: str
    """The image's id; its reference as the user gave it is ``config.image``."""
    config: ContainerConfig
    host_config: HostConfig
    endpoints: dict[str, EndpointSettings]
    """The requested settings of each endpoint, by name of the network."""
    layers: list[str]
    """Unpacked layers of the image, lowest first."""
    runtime: str
    links: dict[str, str] = {}
    """Legacy links: the ids of other containers by their aliases."""
    mounts: list[MountRecord] = []
    anonymous_volumes: list[str] = []
    path: str = ""
    args: list[str] = []

    status: Status = "created"
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started: int = 0
    finished: int = 0
    restart_count: int = 0
    stopped_by_user: bool = False
    draft: bool = False
    """Whether it is still being created; the next start of the engine removes it then."""
    step: bool = False
    """Whether it runs a step of a build; the next start of the engine removes it then."""
    remove_volumes: bool = False
    """While it is being removed: whether its anonymous volumes are removed with it."""
    process: ProcessRecord | None = None
    """The container's first process, while it runs."""
    monitor: ProcessRecord | None = None
    """Its conmon."""
    sandbox: SandboxRecord | None = None

    def mount_points(self) -> list[MountPoint]:
        """Return the mounts that inspect and list show."""
        return [mount.point() for mount in self.mounts if mount.listed]
