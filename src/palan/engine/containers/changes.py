"""``GET /containers/{id}/changes`` and ``/export``: the files of a container."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from palan.api.containers import FilesystemChange
from palan.api.errors import InternalError
from palan.api.results import ByteStream
from palan.engine.containers.container import Container
from palan.engine.containers.merged import merged_root
from palan.engine.containers.start import image_layers
from palan.engine.threads import in_thread, iterate
from palan.host.archive.pack import Packing
from palan.host.overlay_changes import changes


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["export", "list_changes"]


async def list_changes(engine: "Engine", container: Container) -> list[FilesystemChange] | None:
    """What the container has changed of its image; None for nothing, as dockerd answers it.

    Raises:
        InternalError: its files can't be read.
    """
    upper = engine.paths.container(container.id) / "diff"
    below = image_layers(engine, container)
    try:
        found = await in_thread(lambda: changes(upper, below))
    except OSError as error:
        raise InternalError(f"unable to read container {container.id}: {error}") from error
    return [FilesystemChange(path=change.path, kind=change.kind) for change in found] or None


def export(engine: "Engine", container: Container) -> ByteStream:
    """All files of the container, without its volumes, as an archive."""
    return ByteStream(_export(engine, container))


async def _export(engine: "Engine", container: Container) -> AsyncIterator[bytes]:
    async with merged_root(engine, container) as root:
        async for piece in iterate(_archive(root)):
            yield piece
    engine.events.publish("container", "export", container.id, container.attributes)


def _archive(root: Path) -> Generator[bytes, None, None]:
    yield from Packing(root).pieces()
