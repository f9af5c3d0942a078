"""What is remembered of a network across restarts of the engine."""

import msgspec


__all__ = ["NetworkRecord"]


class NetworkRecord(msgspec.Struct, kw_only=True):
    """The durable part of a network; ``created`` in nanoseconds since the epoch."""

    id: str
    name: str
    driver: str
    created: int
    gateway: str = ""
    """The bridge's own address with the subnet's prefix length; empty for no addresses."""
