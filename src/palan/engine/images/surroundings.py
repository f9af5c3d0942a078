"""What this room needs of the rest of the engine, and no more."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from palan.store.database import Database


__all__ = ["Surroundings", "User"]


class User(Protocol):
    """A container, as far as an image minds."""

    @property
    def id(self) -> str:
        """64 digits."""

    @property
    def running(self) -> bool:
        """Whether it has processes now, paused ones included."""


class _Events(Protocol):
    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str], /
    ) -> None: ...


class _Containers(Protocol):
    def using_image(self, image_id: str, /) -> Iterable[User]: ...


class _Paths(Protocol):
    @property
    def images(self) -> Path: ...
    @property
    def tmp(self) -> Path: ...


class Surroundings(Protocol):
    """The engine."""

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
