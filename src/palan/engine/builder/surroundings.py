"""Protocols of what builds need from the rest of the engine."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from palan.api.containers import ContainerCreateBody
from palan.engine.events import Publisher
from palan.engine.images.context import ImageContext
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform


__all__ = [
    "BuilderConfig",
    "BuilderImages",
    "BuilderPaths",
    "StepContainer",
    "StepContainers",
    "Surroundings",
]


class BuilderConfig(Protocol):
    """The configuration, as far as builds need it."""

    @property
    def experimental(self) -> bool:
        """Whether experimental features are enabled; it changes one message."""


class BuilderPaths(Protocol):
    """The directories that builds need."""

    @property
    def view(self) -> Path:
        """A directory on which threads mount layers, each in a namespace of its own."""


class BuilderImages(Protocol):
    """The engine's images."""

    @property
    def context(self) -> ImageContext:
        """The catalog, the unpacker and the downloads."""

    def resolve(self, reference: str, /) -> Image:
        """Return an image by name or id; raise ``NotFound`` or ``InvalidParameter``."""

    def for_platform(self, reference: str, platform: Platform, /) -> Image:
        """Return an image for a platform; raise ``NotFound`` or ``InvalidParameter``."""

    def hold(self, image: Image, /) -> AbstractContextManager[None]:
        """Keep an image from removal until the context ends."""


class StepContainer(Protocol):
    """The container of one step of a build.

    The engine removes it at its next start, unless :meth:`keep` was called.
    """

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def warnings(self) -> Sequence[str]:
        """The warnings of its creation."""

    @property
    def command(self) -> Sequence[str]:
        """The command that it runs."""

    async def run(self, write: Callable[[bytes], Awaitable[None]], /) -> int:
        """Run the container to its end, and return its exit code.

        Args:
            write: receives the output, in frames of the attach protocol.

        Raises:
            PalanError: the container can't be started.
        """

    def changes(self) -> AbstractAsyncContextManager[Path]:
        """Lock the stopped container, and yield the upper directory of its overlay."""

    async def keep(self) -> None:
        """Make it a container like others, which stays after the build."""

    async def remove(self) -> None:
        """Kill and remove it, and its anonymous volumes; what fails is logged."""


class StepContainers(Protocol):
    """Creates containers for steps."""

    async def create(self, body: ContainerCreateBody, /) -> StepContainer:
        """Create a container; raise ``PalanError`` as ``docker create`` does."""


class Surroundings(Protocol):
    """The parts of the engine that builds use."""

    @property
    def config(self) -> BuilderConfig:
        """The configuration as it is now."""

    @property
    def paths(self) -> BuilderPaths:
        """The directories."""

    @property
    def events(self) -> Publisher:
        """The event journal."""

    @property
    def images(self) -> BuilderImages:
        """The images."""

    @property
    def step_containers(self) -> StepContainers:
        """Creates containers for steps."""
