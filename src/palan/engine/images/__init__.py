"""Images: pulling, loading, naming, listing, pushing and removing them."""

from palan.engine.images.image import Image
from palan.engine.images.room import Images
from palan.store.images import SCHEMA


__all__ = ["SCHEMA", "Image", "Images"]
