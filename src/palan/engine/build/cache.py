"""Which image a step would make again.

An image made by a step remembers that step: a digest of the configuration that dockerd's
container would have had, with the step itself as its command.  The same step upon the same
parent gives the same image, so the newest such one is taken.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from palan.api.images import ImageConfig
from palan.engine.images.catalog import Catalog
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform


__all__ = ["Cache", "step_key"]


def step_key(config: ImageConfig, command: Sequence[str], *, runs: bool = False) -> str:
    """What a step is known by.

    Args:
        config: what the image is to have.
        command: the step, as the history tells it.
        runs: it is run, without the image's entrypoint.
    """
    like = msgspec.structs.replace(
        config, cmd=list(command), entrypoint=[] if runs else config.entrypoint
    )
    data = msgspec.json.encode(like, order="deterministic")
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Cache:
    """The cache, as one stage of a build sees it: after the first miss there is no hit."""

    def __init__(self, catalog: Catalog, platform: Platform, *, used: bool) -> None:
        """Begin a stage.

        Args:
            catalog: all images.
            platform: what images have to be for.
            used: whether to look at all.
        """
        self._catalog = catalog
        self._platform = platform
        self._used = used

    def find(self, parent: str, key: str) -> Image | None:
        """The newest image that was made from ``parent`` by the step ``key``, if any."""
        if not self._used:
            return None
        matches = [
            image
            for image in self._catalog.images.values()
            if image.record.step == key
            and image.record.parent == parent
            and not image.record.hidden
            and image.platform.rank(self._platform) is not None
        ]
        if not matches:
            self._used = False
            return None
        return max(matches, key=lambda image: image.spec.created)
