"""What this room needs of the rest of the engine, and no more."""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from palan.api.containers import ContainerConfig
from palan.api.images import ImageConfig
from palan.store.database import Database


__all__ = ["CommitSource", "RegistryConfig", "Surroundings", "User"]


class User(Protocol):
    """A container, as far as an image minds."""

    @property
    def id(self) -> str:
        """64 digits."""

    @property
    def running(self) -> bool:
        """Whether it has processes now, paused ones included."""


class CommitSource(Protocol):
    """A container, as far as a commit minds."""

    @property
    def id(self) -> str:
        """64 digits."""

    @property
    def image(self) -> str:
        """The id of its image."""

    @property
    def command(self) -> Sequence[str]:
        """What it runs."""

    @property
    def upper(self) -> Path:
        """The upper directory of its overlay."""

    def check(self) -> None:
        """Raise ``Conflict`` when it cannot be committed, as it is being removed."""

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """Its processes are frozen meanwhile."""

    def committed_config(self, asked: ContainerConfig | None, changes: list[str], /) -> ImageConfig:
        """The image's configuration; raises ``InvalidParameter`` about the changes."""

    def publish_commit(self, comment: str, image: str, name: str, /) -> None:
        """Tell that an image was made of it."""


class _Events(Protocol):
    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str], /
    ) -> None: ...


class _Containers(Protocol):
    def using_image(self, image_id: str, /) -> Iterable[User]: ...
    def layers_in_use(self) -> Container[str]: ...
    def commit_source(self, reference: str, /) -> CommitSource: ...


class _Paths(Protocol):
    @property
    def images(self) -> Path: ...
    @property
    def tmp(self) -> Path: ...


class RegistryConfig(Protocol):
    """What the configuration says about registries; all of it may change while running."""

    @property
    def insecure_registries(self) -> Sequence[str]:
        """Those that may go without TLS or a good certificate."""

    @property
    def registry_mirrors(self) -> Sequence[str]:
        """URLs of mirrors of Docker Hub."""

    @property
    def http_proxy(self) -> str:
        """URL of a proxy; empty is what the environment says."""

    @property
    def https_proxy(self) -> str:
        """URL of a proxy; empty is what the environment says."""

    @property
    def no_proxy(self) -> str:
        """Hosts to reach without a proxy."""

    @property
    def max_concurrent_downloads(self) -> int:
        """Layers of a pull; 0 is all."""

    @property
    def max_concurrent_uploads(self) -> int:
        """Blobs of a push; 0 is all."""

    @property
    def max_download_attempts(self) -> int:
        """How often in a row a download may fail without getting anywhere."""


class Surroundings(Protocol):
    """The engine."""

    @property
    def config(self) -> RegistryConfig:
        """The configuration as it is now."""

    @property
    def db(self) -> Database:
        """Durable rows."""

    @property
    def paths(self) -> _Paths:
        """Where files are."""

    @property
    def events(self) -> _Events:
        """The journal."""

    @property
    def containers(self) -> _Containers:
        """The containers."""

    def spawn(self, work: Any, /) -> Any:
        """Run something that nobody waits for."""
