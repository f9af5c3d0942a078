"""The class of images that the rest of the engine uses."""

from dataclasses import dataclass
from pathlib import Path

from palan.api.images import ImageConfig
from palan.engine.images.formats import ImageSpec
from palan.engine.images.platform import Platform
from palan.store.images import ImageRecord


__all__ = ["Image"]


@dataclass(slots=True, eq=False)
class Image:
    """An image for one platform.

    Its id is the digest of its configuration, as with dockerd's classic image store:
    it does not depend on the compression of layers, nor on whether the image was pulled,
    loaded or imported.  (dockerd's newer store uses the digest of the manifest or index
    instead; it is :attr:`Descriptor.digest` of the API.)

    Attributes:
        record: the image's row.
        spec: the configuration; shared, and not to be changed.
        layers: the directories of unpacked layers, the lowest first.
        unpacked: the bytes of the files of all layers.
    """

    record: ImageRecord
    spec: ImageSpec
    layers: tuple[Path, ...]
    unpacked: int

    @property
    def id(self) -> str:
        """The image's id, ``sha256:`` and 64 hex digits."""
        return self.record.id

    @property
    def config(self) -> ImageConfig:
        """The defaults of containers; shared, and not to be changed."""
        return self.spec.config or ImageConfig()

    @property
    def labels(self) -> dict[str, str]:
        """The labels; shared, and not to be changed."""
        return self.config.labels

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self.spec.platform

    @property
    def os(self) -> str:
        """The operating system, as Go names it."""
        return self.platform.os

    @property
    def architecture(self) -> str:
        """The processor architecture, as Go names it."""
        return self.platform.architecture

    @property
    def variant(self) -> str:
        """The variant of the architecture; empty for most."""
        return self.platform.variant

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self.id[7:19]
