"""The row of a volume."""

from typing import Final

import msgspec

from palan.store.documents import Documents


__all__ = ["ANONYMOUS", "LOCAL", "TABLE", "VolumeRecord"]

ANONYMOUS: Final = "com.docker.volume.anonymous"
LOCAL: Final = "local"


class VolumeRecord(msgspec.Struct, kw_only=True):
    """The durable part of a volume; ``created`` in nanoseconds since the epoch."""

    name: str
    created: int
    driver: str = LOCAL
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    mountpoint: str = ""
    """The path that a driver last reported; empty while the volume is not mounted."""
    holders: list[str] = []
    """The ids for which its driver mounts it; saved before the driver is asked."""

    @property
    def anonymous(self) -> bool:
        """Whether it was created for a container that gave no name."""
        return ANONYMOUS in (self.labels or {})

    @property
    def is_mounted_by_driver(self) -> bool:
        """Whether its driver must mount it before use, as it is not just a directory."""
        return self.driver != LOCAL or "type" in (self.options or {})

    @property
    def is_plain(self) -> bool:
        """Whether it is just a directory, so that it can be measured and pruned."""
        return self.driver == LOCAL and not self.options


TABLE: Final = Documents("volumes", VolumeRecord)
