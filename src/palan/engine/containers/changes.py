"""``GET /containers/{id}/changes`` and ``/export``: the files of a container."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path

from palan.api.containers import FilesystemChange
from palan.api.errors import InternalError
from palan.api.results import ByteStream
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.merged_root import merged_root
from palan.engine.containers.root_filesystem import image_layers
from palan.engine.threads import in_thread, iterate
from palan.host.archive.pack import Packing
from palan.host.overlay_changes import changes


__all__ = ["export", "list_changes"]


async def list_changes(
    context: ContainerContext, container: Container
) -> list[FilesystemChange] | None:
    """Return the changes of a container to its image's files; None for no change, as in dockerd.

    Raises:
        InternalError: its files can't be read.
    """
    upper = context.paths.container(container.id) / "diff"
    below = image_layers(context, container)
    try:
        found = await in_thread(lambda: changes(upper, below))
    except OSError as error:
        raise InternalError(f"unable to read container {container.id}: {error}") from error
    return [FilesystemChange(path=change.path, kind=change.kind) for change in found] or None


def export(context: ContainerContext, container: Container) -> ByteStream:
    """Return all files of the container, without its volumes, as an archive."""
    return ByteStream(_export(context, container))


async def _export(context: ContainerContext, container: Container) -> AsyncIterator[bytes]:
    async with merged_root(context, container) as root:
        async for piece in iterate(_archive(root)):
            yield piece
    context.events.publish("container", "export", container.id, container.attributes)


def _archive(root: Path) -> Generator[bytes, None, None]:
    yield from Packing(root).pieces()
