"""A container as it is committed: what of it becomes the image, and keeping it still meanwhile."""

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
from palan.engine.containers.pause import held_still
from palan.engine.images.changes import apply_changes


__all__ = ["CommittedContainer", "committed_config"]

C = TypeVar("C", ContainerConfig, ImageConfig)


class CommittedContainer:
    """What a commit minds of a container (see :mod:`palan.engine.images.surroundings`)."""

    def __init__(self, context: ContainerContext, container: Container) -> None:
        self._context = context
        self._container = container
        self.id = container.id
        self.image = container.record.image
        self.command = container.record.config.cmd or []
        self.upper: Path = context.paths.container(container.id) / "diff"

    def check(self) -> None:
        """Say whether it can be committed.

        Raises:
            Conflict: it is dead or being removed.
        """
        if self._container.removed or self._container.record.status == "removing":
            raise Conflict(f"You cannot commit container {self.id} which is being removed")
        if self._container.record.status == "dead":
            raise Conflict(f"You cannot commit container {self.id} which is Dead")

    def held_still(self) -> AbstractAsyncContextManager[None]:
        """Its processes are frozen meanwhile, if it has any."""
        return held_still(self._context, self._container)

    def committed_config(self, asked: ContainerConfig | None, changes: list[str]) -> ImageConfig:
        """The image's configuration; see :func:`committed_config`."""
        return committed_config(asked, self._container.record.config, changes)

    def committed(self, comment: str, image: str, name: str) -> None:
        """Tell that an image was made of it."""
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
    """The configuration of the image.

    Args:
        asked: what the client wants otherwise than in the container; None for nothing.
        container: the container's configuration.
        changes: instructions, applied to what was asked for.

    Raises:
        InvalidParameter: a change is malformed.
    """
    config = _as(asked if asked is not None else container, ImageConfig)
    # Null inherits, an empty one does not: a difference that an image does not have.
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
    """The fields that are set and that the other kind has as well; nothing in them is shared."""
    names = set(kind.__struct_fields__)
    values: dict[str, Any] = {
        name: value
        for name in config.__struct_fields__
        if name in names and (value := getattr(config, name))
    }
    return kind(**copy.deepcopy(values))
