"""Images: what they are, how they come, how they are named and how they go."""

from palan.engine.images.image import Image
from palan.engine.images.room import Images
from palan.store.images import SCHEMA


__all__ = ["SCHEMA", "Image", "Images"]
