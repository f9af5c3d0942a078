"""The build cache: finds the image that a step would make again.

An image made by a step remembers that step: a digest of the configuration that dockerd's
container would have had, with the step itself as its command.  The same step upon the same
parent gives the same image, so the newest such image is used.

If the client names images to take steps from (``cachefrom``), only these count: by their
history, and by the images that they were made from here.
"""

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from palan.api.images import ImageConfig
from palan.engine.builder.steps import Base, Step, make_image
from palan.engine.images.catalog import Lease, Report
from palan.engine.images.context import ImageContext
from palan.engine.images.image import Image
from palan.engine.images.layer_stream import NewLayer
from palan.engine.images.platform import Platform


__all__ = ["Cache", "step_key"]


def step_key(config: ImageConfig, command: Sequence[str], *, runs: bool = False) -> str:
    """Return the key of a step in the cache.

    Args:
        config: the configuration of the resulting image.
        command: the step, as the image's history shows it.
        runs: the command is run, without the image's entrypoint.
    """
    like = msgspec.structs.replace(
        config, cmd=list(command), entrypoint=[] if runs else config.entrypoint
    )
    data = msgspec.json.encode(like, order="deterministic")
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Cache:
    """The cache of one stage of a build: after the first miss there is no hit."""

    def __init__(
        self,
        images: ImageContext,
        lease: Lease,
        use: Callable[[Image], Base],
        platform: Platform,
        sources: Sequence[Base] | None,
        *,
        made: Report,
    ) -> None:
        """Begin a stage.

        Args:
            images: all images.
            lease: keeps content that is made.
            use: keeps an image, and returns it as a base.
            platform: the platform of usable images.
            sources: the only images to take steps from; None for all.
            made: called with each image that is made of a source's history.
        """
        self._images = images
        self._lease = lease
        self._use = use
        self._platform = platform
        self._sources = sources
        self._made = made
        self.used = True

    async def find(self, base: Base, step: Step) -> Base | None:
        """Return the image that a step would make of ``base``, None if it was not made before."""
        if not self.used:
            return None
        image = self._known(base.id, step.key)
        if image is not None and self._sources is not None and not self._counts(image):
            image = None
        if image is not None:
            return self._use(image)
        found = await self._from_history(base, step)
        self.used = found is not None
        return found

    def _known(self, parent: str, key: str) -> Image | None:
        """Return the newest image that was made from ``parent`` by the step ``key``."""
        matches = [
            image
            for image in self._images.catalog.images.values()
            if image.record.step == key
            and image.record.parent == parent
            and not image.record.hidden
            and image.platform.rank(self._platform) is not None
        ]
        return max(matches, key=lambda image: image.spec.created, default=None)

    def _counts(self, image: Image) -> bool:
        """Whether one of the sources was made from an image."""
        images = self._images.catalog.images
        for source in self._sources or ():
            below = source.image
            while below is not None:
                below = images.get(below.record.parent)
                if below is image:
                    return True
        return False

    async def _from_history(self, base: Base, step: Step) -> Base | None:
        """Return the image that a source's history has for a step, None if no source has it."""
        for source in self._sources or ():
            assert source.image is not None  # noqa: S101 - for the type checker
            history = source.image.spec.history
            number = len(base.image.spec.history) if base.image else 0
            if (
                not _begins_with(source.image, base)
                or history[number].created_by != step.created_by
            ):
                continue
            self._sources = [source]  # the first that fits is used for all further steps
            if number == len(history) - 1:
                return source
            layer = None
            if not history[number].empty_layer:
                place = len(base.layers)
                diff_id = source.diff_ids[place]
                layer = NewLayer(source.layers[place], diff_id, empty=False)
            again = Step(
                step.key,
                step.created_by,
                step.config,
                source.image.spec.author,
                layer,
                history[number],
            )
            made = await make_image(self._images, base, again, self._lease, self._made)
            assert made.image is not None  # noqa: S101 - as above
            return self._use(made.image)
        return None


def _begins_with(image: Image, base: Base) -> bool:
    """Whether an image has the history and layers of ``base``, and more history."""
    parent = base.image.spec if base.image else None
    history = parent.history if parent else []
    return (
        len(history) < len(image.spec.history)
        and image.spec.history[: len(history)] == history
        and image.spec.rootfs.diff_ids[: len(base.diff_ids)] == base.diff_ids
    )
