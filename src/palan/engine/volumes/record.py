"""What is remembered of a volume, whoever keeps its files."""

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
    """Where another driver last said that it is; empty when it is not mounted."""
    holders: list[str] = []
    """Who has it mounted, as drivers are told; written before they are."""

    @property
    def anonymous(self) -> bool:
        """Whether it was made for one container that did not name it."""
        return ANONYMOUS in (self.labels or {})

    @property
    def is_mounted_by_driver(self) -> bool:
        """Whether it must be mounted to be used: it is more than a directory."""
        return self.driver != LOCAL or "type" in (self.options or {})

    @property
    def is_plain(self) -> bool:
        """Whether it is a directory and nothing else, which can be measured and pruned."""
        return self.driver == LOCAL and not self.options


TABLE: Final = Documents("volumes", VolumeRecord)
