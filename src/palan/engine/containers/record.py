"""What is remembered of a container across restarts of the engine."""

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
    """A process and when it started (clock ticks since boot), so that a reused pid is no match."""

    pid: int
    start_time: int


class MountRecord(msgspec.Struct, kw_only=True):
    """Something of the host, or of the engine, that is mounted in the container."""

    kind: str
    """``bind``, ``volume``, ``tmpfs`` or ``image``."""
    destination: str
    source: str = ""
    """Absolute path on the host; empty for a tmpfs, and where a driver has not mounted it yet."""
    volume: str = ""
    driver: str = "local"
    """Of the volume."""
    subpath: str = ""
    """The part of the volume or the image that is mounted; empty for all of it."""
    image: str = ""
    """The id of a mounted image."""
    reference: str = ""
    """What that image was called."""
    layers: list[str] = []
    """Its unpacked layers, the lowest first."""
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
        """As inspect lists it."""
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
    """The durable part of a container.  Times are nanoseconds since the epoch, 0 for never."""

    id: str
    name: str
    created: int
    image: str
    """The image's id; its reference as the user gave it is ``config.image``."""
    config: ContainerConfig
    host_config: HostConfig
    endpoints: dict[str, EndpointSettings]
    """What was asked for, by name of the network."""
    layers: list[str]
    """Unpacked layers of the image, lowest first."""
    runtime: str
    links: dict[str, str] = {}
    """Legacy links: what it calls others, with their ids."""
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
    """It is still being created: a start of the engine that finds it so removes it."""
    step: bool = False
    """It is a step of a build: a start of the engine that finds it so removes it."""
    remove_volumes: bool = False
    """While it is being removed: its anonymous volumes go with it."""
    process: ProcessRecord | None = None
    """The container's init process, while there is one."""
    monitor: ProcessRecord | None = None
    """Its conmon."""
    sandbox: SandboxRecord | None = None

    def mount_points(self) -> list[MountPoint]:
        """The mounts that inspect and list show."""
        return [mount.point() for mount in self.mounts if mount.listed]
