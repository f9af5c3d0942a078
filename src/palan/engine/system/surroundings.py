"""Protocols of what this room needs from the rest of the engine."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from palan.api.containers import ContainerSummary
from palan.api.images import ImageSummary
from palan.api.system import EventMessage
from palan.api.volumes import Volume
from palan.engine.config import EngineConfig
from palan.host.cdi import CdiRegistry
from palan.host.cgroups import CgroupFeatures, Cgroups
from palan.host.facts import Facts
from palan.host.oci_runtime import OCIRuntime


__all__ = [
    "Journal",
    "Surroundings",
    "SystemContainers",
    "SystemFirewall",
    "SystemImages",
    "SystemMachine",
    "SystemNetworks",
    "SystemPaths",
    "SystemRuntimes",
    "SystemVolumes",
]


class SystemPaths(Protocol):
    """The directories that ``GET /info`` shows."""

    @property
    def data_root(self) -> Path:
        """The directory of what outlives a reboot."""


class SystemMachine(Protocol):
    """Facts about the machine."""

    @property
    def facts(self) -> Facts:
        """Its kernel, processors, memory, distribution and security modules."""

    @property
    def cgroups(self) -> Cgroups:
        """Its cgroup hierarchies."""

    @property
    def cdi(self) -> CdiRegistry:
        """Devices that vendors describe."""

    @property
    def init_binary(self) -> str:
        """The name of the init program, empty if none was found."""


class SystemRuntimes(Protocol):
    """The OCI runtimes."""

    @property
    def usable(self) -> Mapping[str, OCIRuntime]:
        """The runtimes that work, by name."""

    @property
    def default(self) -> str:
        """The name of the default runtime."""

    @property
    def default_version(self) -> str:
        """The version of the default runtime, empty if it does not work."""

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings about missing programs."""

    @property
    def cgroup_features(self) -> CgroupFeatures:
        """The limits that cgroups support when the default runtime sets them."""

    def programs(self) -> list[tuple[str, str, str]]:
        """Return name, path and version of each usable runtime."""


class Journal(Protocol):
    """The event journal."""

    @property
    def followers(self) -> int:
        """The number of clients that follow the journal."""

    def follow(
        self, since: int | None, until: int | None, test: Callable[[EventMessage], bool], /
    ) -> AsyncGenerator[EventMessage, None]:
        """Yield events, see :meth:`palan.engine.events.EventJournal.follow`."""


class SystemImages(Protocol):
    """The images."""

    def count(self) -> int:
        """Return the number of images that a list shows."""

    async def disk_usage(self) -> tuple[list[ImageSummary], int]:
        """Return all images with shared sizes, and the bytes of all layers."""


class SystemContainers(Protocol):
    """The containers."""

    def statuses(self) -> list[str]:
        """Return the status of each container."""

    async def disk_usage(self) -> list[ContainerSummary]:
        """Return all containers with their sizes."""


class SystemVolumes(Protocol):
    """The volumes."""

    async def usage(self) -> list[Volume]:
        """Return the plain volumes with their sizes."""


class SystemFirewall(Protocol):
    """The firewall rules of the networks."""

    @property
    def rules(self) -> bool:
        """Whether the engine writes firewall rules."""

    @property
    def backend(self) -> str:
        """The name of the back end that writes them."""

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings about kernel settings that weaken them."""


class SystemNetworks(Protocol):
    """The networks."""

    @property
    def driver_names(self) -> list[str]:
        """The names of the drivers, sorted."""

    @property
    def firewall(self) -> SystemFirewall:
        """The firewall rules."""


class Surroundings(Protocol):
    """The parts of the engine that this room shows."""

    @property
    def id(self) -> str:
        """The engine's id."""

    @property
    def config(self) -> EngineConfig:
        """The configuration as it is now."""

    @property
    def paths(self) -> SystemPaths:
        """The directories."""

    @property
    def events(self) -> Journal:
        """The event journal."""

    @property
    def machine(self) -> SystemMachine:
        """Facts about the machine."""

    @property
    def runtimes(self) -> SystemRuntimes:
        """The OCI runtimes."""

    @property
    def images(self) -> SystemImages:
        """The images."""

    @property
    def containers(self) -> SystemContainers:
        """The containers."""

    @property
    def volumes(self) -> SystemVolumes:
        """The volumes."""

    @property
    def networks(self) -> SystemNetworks:
        """The networks."""
