"""Protocols of what the images need from the rest of the engine."""

from collections.abc import Container, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from palan.api.containers import ContainerConfig
from palan.api.images import ImageConfig
from palan.engine.events import Publisher
from palan.store.database import Database


__all__ = [
    "CommitSource",
    "ImageContainers",
    "ImagePaths",
    "RegistryConfig",
    "Surroundings",
    "User",
]


class User(Protocol):
    """A container that uses an image."""

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def running(self) -> bool:
        """Whether it has processes, paused ones included."""

    @property
    def image_reference(self) -> str:
        """The image that it is made of, as the client named it."""


class CommitSource(Protocol):
    """A container of which an image is made."""

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def image(self) -> str:
        """The id of the container's image."""

    @property
    def command(self) -> Sequence[str]:
        """The command that it runs."""

    @property
    def upper(self) -> Path:
        """The upper directory of its overlay."""

    def check(self) -> None:
        """Raise ``Conflict`` if the container is being removed."""

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """Freeze the container's processes until the context ends."""

    def committed_config(self, asked: ContainerConfig | None, changes: list[str], /) -> ImageConfig:
        """Return the image's configuration; raise ``InvalidParameter`` about the changes."""

    def publish_commit(self, comment: str, image: str, name: str, /) -> None:
        """Publish the event that an image was made."""


class ImageContainers(Protocol):
    """The containers."""

    def using_image(self, image_id: str, /) -> Iterable[User]:
        """Return the containers of an image, and those that have it mounted."""

    def layers_in_use(self) -> Container[str]:
        """Return the chain ids of the containers' layers."""

    def commit_source(self, reference: str, /) -> CommitSource:
        """Return the container to make an image of; raise ``NotFound``."""


class ImagePaths(Protocol):
    """The directories of images."""

    @property
    def images(self) -> Path:
        """The directory of blobs and layers."""

    @property
    def tmp(self) -> Path:
        """A directory on the same file system, emptied when the engine starts."""


class RegistryConfig(Protocol):
    """The configuration of registries, which may change while the engine runs."""

    @property
    def insecure_registries(self) -> Sequence[str]:
        """Registries that need neither TLS nor a valid certificate."""

    @property
    def registry_mirrors(self) -> Sequence[str]:
        """URLs of mirrors of Docker Hub."""

    @property
    def http_proxy(self) -> str:
        """The URL of a proxy; if empty, the environment variable counts."""

    @property
    def https_proxy(self) -> str:
        """The URL of a proxy; if empty, the environment variable counts."""

    @property
    def no_proxy(self) -> str:
        """The hosts to reach without a proxy."""

    @property
    def max_concurrent_downloads(self) -> int:
        """The number of layers of a pull that are downloaded at once; 0 for all."""

    @property
    def max_concurrent_uploads(self) -> int:
        """The number of blobs of a push that are uploaded at once; 0 for all."""

    @property
    def max_download_attempts(self) -> int:
        """The number of times in a row that a download may fail without progress."""


class Surroundings(Protocol):
    """The parts of the engine that the images use."""

    @property
    def config(self) -> RegistryConfig:
        """The configuration as it is now."""

    @property
    def db(self) -> Database:
        """The database with the rows."""

    @property
    def paths(self) -> ImagePaths:
        """The directories."""

    @property
    def events(self) -> Publisher:
        """The event journal."""

    @property
    def containers(self) -> ImageContainers:
        """The containers."""

    def spawn(self, work: Any, /) -> Any:
        """Run a coroutine in the background, see :class:`palan.engine.background.Background`."""
