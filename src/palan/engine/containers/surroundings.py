"""Protocols of what the containers need from the rest of the engine."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from palan.api import Unset
from palan.api.containers import EndpointSettings
from palan.api.images import OCIDescriptor
from palan.engine.background import Background
from palan.engine.config import EngineConfig
from palan.engine.events import Publisher
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform
from palan.engine.logdrivers.container import LoggedContainer
from palan.engine.machine import Machine, Runtimes
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.ipam import IPNetwork
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.paths import Paths
from palan.engine.volumes.record import VolumeRecord
from palan.host.conmon import RunningMonitor
from palan.store.database import Database


__all__ = [
    "ContainerExecs",
    "ContainerImages",
    "ContainerLogs",
    "ContainerNetworks",
    "ContainerVolumes",
    "ProbeOutcome",
    "Surroundings",
]


class ContainerImages(Protocol):
    """The images."""

    def resolve(self, reference: str, /) -> Image:
        """Return the image of that name, digest, id or beginning of an id.

        Raises:
            NotFound: there is no such image.
            InvalidParameter: the reference is malformed.
        """

    def for_platform(self, reference: str, platform: Platform, /) -> Image:
        """Return the image of that name for a platform.

        Raises:
            NotFound: there is no such image, or not for that platform.
        """

    def hold(self, image: Image, /) -> AbstractContextManager[None]:
        """Keep an image from removal inside the ``with`` block."""

    async def release(self, image_id: str, /) -> None:
        """Remove an image without a name, unless another container uses it."""

    def descendants(self, references: Iterable[str], /) -> set[str]:
        """Return the ids of the named images, and of images that were made from them."""

    def descriptor(self, image_id: str, /) -> OCIDescriptor | Unset:
        """Return the descriptor of an image's manifest, if the manifest is stored."""

    def size(self, image_id: str, /) -> int:
        """Return the bytes of the files in an image's layers; 0 for an unknown image."""


class ContainerVolumes(Protocol):
    """The volumes."""

    def path(self, name: str, /) -> Path:
        """Return the directory with the files of a volume of the driver ``local``."""

    async def ensure(
        self,
        name: str,
        /,
        *,
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> tuple[VolumeRecord, bool]:
        """Return the volume of that name, created if absent, and whether it was created.

        Raises:
            PalanError: it can't be created, or its driver does not exist.
        """

    def use(self, name: str, container_id: str, /) -> None:
        """Note that a container refers to a volume, which is not removed meanwhile."""

    def is_used(self, name: str, /, *, besides: str) -> bool:
        """Whether a container other than ``besides`` refers to a volume."""

    def release(self, container_id: str, /) -> None:
        """Note that a container no longer refers to any volume."""

    async def remove_anonymous(self, name: str, /) -> None:
        """Remove an anonymous volume, unless another container uses it."""

    async def mount(self, name: str, holder: str, /) -> str:
        """Have the driver mount a volume for a holder, and return its path.

        Raises:
            PalanError: the driver fails, or the volume does not exist.
        """

    async def unmount(self, name: str, holder: str, /) -> bool:
        """Undo :meth:`mount`, and return whether the holder had it mounted."""

    def adopt(self, name: str, holder: str, /) -> None:
        """Note that a volume is mounted for a container which runs already."""

    async def unmount_stale(self, alive: set[str], /) -> None:
        """Unmount volumes that are mounted for containers that do not run."""


class ContainerNetworks(Protocol):
    """The networks, which see a container as a member."""

    def find(self, reference: str, /) -> Network | None:
        """Return the network of that name, id or beginning of an id; None if it is absent."""

    def resolve(self, reference: str, /) -> Network:
        """Return what :meth:`find` does.

        Raises:
            NotFound: no network fits.
            InvalidParameter: several networks fit.
        """

    def by_id(self, network_id: str, /) -> Network | None:
        """Return the network of exactly that id."""

    def id_of(self, reference: str, /) -> str:
        """Return the id of the network that :meth:`find` finds; empty for None."""

    def subnets(self, reference: str, /) -> list[IPNetwork] | None:
        """Return the subnets of a network; None if there is no such network."""

    def is_listed(self, names: Iterable[str], wanted: str, /) -> bool:
        """Whether a network, given by name or beginning of its id, is among ``names``."""

    def check_compatible(self, mode: str, names: Iterable[str], network: Network, /) -> None:
        """Refuse a network that can't be combined with a network mode and other networks.

        Raises:
            InvalidParameter: in dockerd's words.
        """

    @property
    def host_gateways(self) -> list[str]:
        """The addresses of the host that containers reach on every network."""

    async def load(
        self, sandboxes: Mapping[str, SandboxRecord], running: Collection[str], /
    ) -> None:
        """Restore all networks when the engine starts.

        Args:
            sandboxes: the sandboxes of all containers by their ids.
            running: the ids of the running containers.
        """

    def sweep_sandboxes(self, sandboxes: Iterable[SandboxRecord], /) -> None:
        """Remove namespaces and interfaces that belong to none of the sandboxes; blocking."""

    async def create_sandbox(self, member: Member, /) -> SandboxRecord | None:
        """Create the network namespace of a container that is about to start, with all in it.

        Returns:
            The sandbox; None if the container shares that of another container.

        Raises:
            PalanError: a network does not exist, an address or a port is in use.
        """

    async def remove_sandbox(self, member: Member, sandbox: SandboxRecord, /) -> None:
        """Remove a sandbox, whole or half made; idempotent."""

    async def adopt(self, member: Member, /) -> None:
        """Take over the ports, names and links of a container that has kept running."""

    async def allow_links(self, member: Member, /) -> None:
        """Update the rules that allow a running container to reach those it is linked to."""

    def resolv_conf(self, member: Member, /, *, embedded: bool | None = None) -> str:
        """Return the text of a container's ``resolv.conf``.

        Args:
            member: the container.
            embedded: whether it names the engine's name server; None if the container has one.
        """

    def rename(self, member: Member, /) -> None:
        """Replace the DNS names of a container that has a new name."""

    async def add_endpoint(
        self,
        member: Member,
        sandbox: SandboxRecord,
        network: Network,
        settings: EndpointSettings,
        /,
    ) -> EndpointRecord:
        """Create an endpoint for a running container, in memory.

        Raises:
            PalanError: an address or name is in use; nothing is left of the endpoint then.
        """

    async def plug_endpoint(
        self,
        member: Member,
        sandbox: SandboxRecord,
        endpoint: EndpointRecord,
        before: Mapping[int, EndpointRecord | None],
        /,
    ) -> bool:
        """Make the interface of a new endpoint; move routes, ports and names to it.

        Args:
            member: the container.
            sandbox: its namespace.
            endpoint: the endpoint.
            before: the endpoints that had the default routes before, by IP version.

        Returns:
            Whether the container got a name server.

        Raises:
            PalanError: it failed; the caller has to remove the endpoint.
        """

    async def remove_endpoint(
        self, member: Member, sandbox: SandboxRecord, endpoint: EndpointRecord, /
    ) -> None:
        """Remove an endpoint, whole or half made, of a running container; idempotent."""

    def publish(self, action: str, network: Network, container_id: str, /) -> None:
        """Publish an event about a container on a network."""

    def publish_all(self, action: str, sandbox: SandboxRecord | None, container_id: str, /) -> None:
        """Publish an event about a container on each of its networks."""


class ProbeOutcome(Protocol):
    """The result of a health check."""

    @property
    def code(self) -> int:
        """The exit code; -1 if the command could not be run, or took too long."""

    @property
    def output(self) -> str:
        """The output of the command, or the reason why it was not run."""


class ContainerExecs(Protocol):
    """The execs, which belong to containers by their ids."""

    async def probe(
        self, container_id: str, command: list[str], /, *, timeout_ns: int, max_output: int
    ) -> ProbeOutcome:
        """Run a command in a container as its health check."""

    def unfinished(self, container_id: str, /) -> list[str]:
        """Return the ids of the execs that have not ended."""

    def drop_clients(self, container_id: str, /) -> None:
        """Disconnect the clients of the execs."""

    def discard_unstarted(self, container_id: str, /) -> None:
        """Discard the execs that were not started, as the container has ended."""

    def discard(self, container_id: str, /) -> None:
        """Discard all execs, as the container is removed."""

    def adopt(self, container_id: str, monitors: Collection[RunningMonitor], /) -> None:
        """Take over the execs that an earlier engine started, by their running conmons."""


class ContainerLogs(Protocol):
    """The logs of containers, and the drivers that send them elsewhere."""

    async def connect(self, container: LoggedContainer, /, *, by_policy: bool) -> None:
        """Connect to the receiver before a start; a restart policy need not reach it.

        Raises:
            InternalError: the receiver does not answer.
        """

    async def disconnect(self, container: LoggedContainer, /) -> None:
        """Undo :meth:`connect` for a container that was not started after all."""

    def begin(self, container: LoggedContainer, /) -> None:
        """Rotate and send the log of a container that was started."""

    def adopt(self, container: LoggedContainer, /) -> None:
        """Rotate the log of a container that an earlier engine started."""

    def resume(self, container: LoggedContainer, /) -> None:
        """Send the lines that an earlier engine has not sent."""

    async def end(self, container: LoggedContainer, /) -> None:
        """Complete the log of a container that has ended."""

    async def remove(self, container: LoggedContainer, /) -> None:
        """Send the last lines of a container that is removed, unless its receiver fails."""


class Surroundings(Background, Protocol):
    """The parts of the engine that the containers use."""

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now; some of it changes while the engine runs."""

    @property
    def db(self) -> Database:
        """The database."""

    @property
    def paths(self) -> Paths:
        """The paths of the engine's files."""

    @property
    def events(self) -> Publisher:
        """The journal of events."""

    @property
    def machine(self) -> Machine:
        """The facts about this machine."""

    @property
    def runtimes(self) -> Runtimes:
        """The OCI runtimes and conmon."""

    @property
    def images(self) -> ContainerImages:
        """The images."""

    @property
    def volumes(self) -> ContainerVolumes:
        """The volumes."""

    @property
    def networks(self) -> ContainerNetworks:
        """The networks."""

    @property
    def exec(self) -> ContainerExecs:
        """The execs."""

    @property
    def logs(self) -> ContainerLogs:
        """The logs of containers, and the drivers that send them elsewhere."""

    @property
    def stopping(self) -> asyncio.Event:
        """The event that is set when the engine stops."""
