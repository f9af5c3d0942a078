"""Directories of an image: ``WORKDIR`` creates one, ``VOLUME`` needs one."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from palan.api.errors import InternalError, InvalidParameter
from palan.engine.builder.copying import lowers_of, writable, written_layer
from palan.engine.builder.job import Job
from palan.engine.builder.steps import Base
from palan.engine.images.layer_stream import NewLayer
from palan.engine.threads import in_thread
from palan.host.layerview import Layers, mounted_layers
from palan.host.namespaces import run_in_thread
from palan.host.rootfs import follow_links, lookup
from palan.host.treecopy import make_directories


__all__ = ["check_volumes", "make_directory"]


async def make_directory(job: Job, base: Base, path: str) -> NewLayer | None:
    """Create a directory in an image, and return the layer; None if it exists already.

    Raises:
        InvalidParameter: a file of another kind has this path.
        InternalError: the file system refuses.
    """
    with job.scratch() as scratch:

        def make() -> bool:
            layers = writable(base, scratch)
            run_in_thread(lambda: _make(job.view, layers, path))
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
        return await written_layer(job, base, scratch)


def _make(view: Path, layers: Layers, path: str) -> None:
    with mounted_layers(view, layers) as (tree,):
        root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            make_directories(root, follow_links(root, path).lstrip("/"))
        finally:
            os.close(root)


async def check_volumes(job: Job, base: Base, paths: Iterable[str]) -> None:
    """Check that volumes can be mounted in an image.

    Raises:
        InvalidParameter: the image has a file at such a path.
    """
    if base.image is None:
        return

    with job.scratch() as scratch:
        layers = Layers(lowers_of(base, scratch))
        path = await in_thread(lambda: run_in_thread(lambda: _first_file(job.view, layers, paths)))
    if path is not None:
        raise InvalidParameter(f"cannot mount volume over existing file, file exists {path}")


def _first_file(view: Path, layers: Layers, paths: Iterable[str]) -> str | None:
    """Return the first path where something other than a directory is."""
    with mounted_layers(view, layers) as (tree,):
        root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return next((path for path in paths if _is_file(root, path)), None)
        finally:
            os.close(root)


def _is_file(root: int, path: str) -> bool:
    try:
        found = lookup(root, path, follow=True)
    except OSError:
        return False
    try:
        return not stat.S_ISDIR(os.fstat(found).st_mode)
    finally:
        os.close(found)
