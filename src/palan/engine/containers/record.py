"""What is remembered of a container across restarts of the engine."""

from typing import Any, Literal

import msgspec

from palan.api import UNSET
from palan.api.containers import ContainerConfig, EndpointSettings, HostConfig, MountPoint


__all__ = [
    "ContainerRecord",
    "EndpointRecord",
    "MountRecord",
    "PortRecord",
    "ProcessRecord",
    "SandboxRecord",
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


class PortRecord(msgspec.Struct, kw_only=True):
    """A port of the host that leads to a port of the container."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str


class EndpointRecord(msgspec.Struct, kw_only=True):
    """A container's place on one network, while it runs."""

    id: str
    network: str
    """The network's id; ``network_name`` is its name."""
    network_name: str
    slot: int = 0
    """What tells the endpoints of a sandbox apart, and their interfaces in the host."""
    host_interface: str = ""
    """The host's end of the cable; empty where there is none."""
    interface: str = ""
    """The interface in the container; empty for none."""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac_address: str = ""
    link_local: list[str] = []
    dns_names: list[str] = []
    """What others find it by, the first one first in reverse look-ups."""
    links: dict[str, str] = {}
    """What the container itself calls others on this network: alias to name."""
    priority: int = 0
    """The endpoint with the highest one has the default route."""
    internal: bool = False
    """Its network leads nowhere else."""
    options: dict[str, str] = {}
    """The driver's."""
    plugin_options: dict[str, Any] = {}
    """What a plugin is told about the container's ports."""
    sandbox_key: str = ""
    """Where the namespace is, for a plugin."""
    routes: list[tuple[str, str]] = []
    """Further routes that a plugin wants: where to, and by which host; empty for none."""
    device_route: bool = False
    """What is for others goes out without a gateway."""
    hairpin: bool = False
    """It has published ports, which it may reach itself by the host's address."""
    pending: bool = False
    """It is being plugged in or out: a start of the engine that finds it so takes it away."""

    def leads_on(self, version: int) -> bool:
        """Whether others than those on the network are reached through it."""
        gateway, address = (
            (self.gateway, self.address) if version == 4 else (self.gateway6, self.address6)
        )
        return bool(gateway or (self.device_route and address))


class SandboxRecord(msgspec.Struct, kw_only=True):
    """The network namespace that a container is in and what is plugged into it."""

    id: str
    path: str
    """Where the namespace is bind-mounted; empty for the host's own."""
    endpoints: list[EndpointRecord] = []
    ports: list[PortRecord] = []

    @property
    def address(self) -> str:
        """The IPv4 address that the container is known by; empty for none."""
        main = self.main(4)
        if main is not None:
            return main.address
        return next((e.address for e in self.endpoints if e.address), "")

    def main(self, version: int) -> EndpointRecord | None:
        """The endpoint with the default route of that IP version; None if none has one."""
        leading = [e for e in self.endpoints if e.leads_on(version)]
        return min(leading, key=lambda e: (-e.priority, e.network_name), default=None)


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
