"""``WORKDIR``: the directory is made, if the image does not have it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from palan.api.errors import InternalError, InvalidParameter
from palan.engine.builder.copying import layer_written, writable
from palan.engine.builder.steps import Base
from palan.engine.images.layer_stream import NewLayer
from palan.engine.threads import in_thread
from palan.host.layerview import Layers, seen
from palan.host.namespaces import run_in_thread
from palan.host.rootfs import follow_links
from palan.host.treecopy import make_directories


if TYPE_CHECKING:
    from palan.engine.builder.builder import Builder


__all__ = ["made_directory"]


async def made_directory(builder: "Builder", base: Base, path: str) -> NewLayer | None:
    """Make a directory in an image; None if it has it already.

    Raises:
        InvalidParameter: something else is there.
    """
    with builder.stock.unpacker.scratch() as scratch:

        def make() -> bool:
            layers = writable(base, scratch)
            run_in_thread(lambda: _make(builder.place, layers, path))
            return layers.upper is not None and any(layers.upper.iterdir())

        try:
            made = await in_thread(make)
        except NotADirectoryError as error:
            raise InvalidParameter(
                f"cannot mkdir: {error.filename or path}: not a directory"
            ) from None
        except OSError as error:
            raise InternalError(f"mkdir {path}: {str(error.strerror or error).lower()}") from None
        if not made:
            return None
        return await layer_written(builder, base, scratch)


def _make(place: Path, layers: Layers, path: str) -> None:
    with seen(place, layers) as (tree,):
        root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            make_directories(root, follow_links(root, path).lstrip("/"))
        finally:
            os.close(root)
