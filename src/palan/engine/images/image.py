"""An image as the rest of the engine sees it."""

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
    it is the same whether the image was pulled, loaded or imported, whatever its layers
    are compressed with, and on every engine.  (dockerd's newer store takes the digest
    of the manifest or index instead; :attr:`Descriptor.digest` of the API tells that.)

    Attributes:
        record: what the engine knows beside the configuration.
        spec: the configuration; shared, so not to be changed.
        layers: the unpacked layers, the lowest first.
        unpacked: bytes of the files of all layers.
    """

    record: ImageRecord
    spec: ImageSpec
    layers: tuple[Path, ...]
    unpacked: int

    @property
    def id(self) -> str:
        """``sha256:`` and 64 digits."""
        return self.record.id

    @property
    def config(self) -> ImageConfig:
        """What containers inherit; shared, so not to be changed."""
        return self.spec.config or ImageConfig()

    @property
    def labels(self) -> dict[str, str]:
        """Its labels; shared, so not to be changed."""
        return self.config.labels

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        return self.spec.platform

    @property
    def os(self) -> str:
        """Operating system, in Go's names."""
        return self.platform.os

    @property
    def architecture(self) -> str:
        """Processor, in Go's names."""
        return self.platform.architecture

    @property
    def variant(self) -> str:
        """Variant of the processor; empty for most."""
        return self.platform.variant

    @property
    def short_id(self) -> str:
        """Twelve digits."""
        return self.id[7:19]
