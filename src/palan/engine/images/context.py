"""The state that operations on images share."""

from dataclasses import dataclass

from palan.engine.images.catalog import Catalog
from palan.engine.images.downloads import Downloads
from palan.engine.images.layers import Unpacker
from palan.engine.images.progress import BlobProgress
from palan.engine.images.surroundings import Surroundings


__all__ = ["ImageContext"]


@dataclass(frozen=True, slots=True)
class ImageContext:
    """The engine's images, and the blobs that are being downloaded.

    Attributes:
        surroundings: the rest of the engine.
        catalog: the images.
        unpacker: makes layers.
        downloads: files of blobs that are not in the catalog's store yet.
        blob_progress: the operations that report on each blob.
    """

    surroundings: Surroundings
    catalog: Catalog
    unpacker: Unpacker
    downloads: Downloads
    blob_progress: BlobProgress
