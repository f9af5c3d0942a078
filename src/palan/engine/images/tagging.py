"""Giving an image one more name."""

import time

from palan.engine.images.catalog import Catalog
from palan.engine.images.image import Image
from palan.engine.images.lookup import find
from palan.engine.images.reference import Reference
from palan.store.images import NameRecord, Rows


__all__ = ["tag"]


async def tag(catalog: Catalog, text: str, name: Reference) -> Image:
    """Point ``name`` at what ``text`` means; the caller holds the catalog's lock.

    Raises:
        NotFound: there is no such image.
        InvalidParameter: the text is no reference.
    """
    match = find(catalog, text)
    record = NameRecord(str(name), match.target.digest, time.time_ns())
    await catalog.add(Rows(names=[record]))
    return match.image
