"""A container of which an image is made."""

import copy
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from palan.api.containers import ContainerConfig
from palan.api.errors import Conflict
from palan.api.images import ImageConfig
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.merge import inherit_config
from palan.engine.containers.pause import frozen
from palan.engine.images.changes import apply_changes


__all__ = ["CommittedContainer", "committed_config"]

C = TypeVar("C", ContainerConfig, ImageConfig)


class CommittedContainer:
    """The :class:`palan.engine.images.surroundings.CommitSource` of one container."""

    def __init__(self, context: ContainerContext, container: Container) -> None:
        self._context = context
        self._container = container
        self.id = container.id
        self.image = container.record.image
        self.command = container.record.config.cmd or []
        self.upper: Path = context.paths.container(container.id) / "diff"

    def check(self) -> None:
        """Check that an image can be made of the container.

        Raises:
            Conflict: the container is dead or being removed.
        """
        if self._container.removed or self._container.record.status == "removing":
            raise Conflict(f"You cannot commit container {self.id} which is being removed")
        if self._container.record.status == "dead":
            raise Conflict(f"You cannot commit container {self.id} which is Dead")

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """Freeze the container's processes, if it has any, inside the ``async with`` block."""
        return frozen(self._context, self._container)

    def committed_config(self, asked: ContainerConfig | None, changes: list[str]) -> ImageConfig:
        """Return the image's configuration; see :func:`committed_config`."""
        return committed_config(asked, self._container.record.config, changes)

    def publish_commit(self, comment: str, image: str, name: str) -> None:
        """Publish that an image was made of the container."""
        self._context.events.publish(
            "container",
            "commit",
            self.id,
            {
                **self._container.attributes,
                "comment": comment,
                "imageID": image,
                "imageRef": name,
            },
        )


def committed_config(
    asked: ContainerConfig | None, container: ContainerConfig, changes: list[str]
) -> ImageConfig:
    """Return the configuration of an image that is made of a container.

    Args:
        asked: the client's configuration, which goes before the container's; None for none.
        container: the container's configuration.
        changes: instructions that are applied to the client's configuration.

    Raises:
        InvalidParameter: a change is malformed.
    """
    config = _as(asked if asked is not None else container, ImageConfig)
    # A null entrypoint inherits, an empty one does not; an image knows no such difference.
    none_asked = asked is not None and asked.entrypoint is not None
    apply_changes(config, changes)
    own = _as(config, ContainerConfig)
    if not config.entrypoint:
        own.entrypoint = [] if none_asked else None
    merged = _as(inherit_config(own, container), ImageConfig)
    merged.on_build, merged.shell = config.on_build, config.shell
    merged.args_escaped = config.args_escaped
    return merged


def _as(config: msgspec.Struct, kind: type[C]) -> C:
    """Copy the fields that are set and that the other kind has as well."""
    names = set(kind.__struct_fields__)
    values: dict[str, Any] = {
        name: value
        for name in config.__struct_fields__
        if name in names and (value := getattr(config, name))
    }
    return kind(**copy.deepcopy(values))
