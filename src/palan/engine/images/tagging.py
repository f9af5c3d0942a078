"""``POST /images/{name}/tag``: gives an image another name."""

import time

from palan.api.errors import InvalidParameter, NotFound
from palan.engine.events import Publisher
from palan.engine.images.catalog import Catalog
from palan.engine.images.lookup import find
from palan.engine.images.reference import DIGEST_ALGORITHM, Reference
from palan.store.images import NameRecord, Rows


__all__ = ["tag"]


async def tag(catalog: Catalog, text: str, name: Reference, events: Publisher) -> None:
    """Point ``name`` at the image that ``text`` means; the caller holds the catalog's lock.

    The event ``tag`` is committed with it.

    Raises:
        NotFound: there is no such image, or, as in dockerd, the text is malformed.
        InvalidParameter: the name would be read as a digest.
    """
    if name.familiar_repository == DIGEST_ALGORITHM:
        raise InvalidParameter("refusing to create an ambiguous tag using digest algorithm as name")
    try:
        match = find(catalog, text)
    except InvalidParameter as error:
        raise NotFound(error.message) from None
    record = NameRecord(str(name), match.target.digest, time.time_ns())
    image = match.image
    attributes = {**image.labels, "name": name.familiar}
    await catalog.add(
        Rows(names=[record]), lambda _: events.publish("image", "tag", image.id, attributes)
    )
