"""What the transfers of images work upon, in one piece."""

from dataclasses import dataclass

from palan.engine.images.catalog import Catalog
from palan.engine.images.downloads import Downloads
from palan.engine.images.layers import Unpacker
from palan.engine.images.progress import Board
from palan.engine.images.surroundings import Surroundings


__all__ = ["Stock"]


@dataclass(frozen=True, slots=True)
class Stock:
    """The engine's images and what is on its way to them.

    Attributes:
        engine: the engine.
        catalog: the images.
        unpacker: makes layers.
        downloads: blobs that are not in the catalog's store yet.
        board: who wants to know about which blob.
    """

    engine: Surroundings
    catalog: Catalog
    unpacker: Unpacker
    downloads: Downloads
    board: Board
