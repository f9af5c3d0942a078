"""What is remembered of a network across restarts of the engine."""

import msgspec

from palan.api.networks import IPAMConfig


__all__ = ["NetworkRecord", "PoolRecord"]


class PoolRecord(msgspec.Struct, kw_only=True):
    """One subnet of a network, as it was given or chosen."""

    subnet: str
    range: str = ""
    """The part that addresses are given out of; empty for all of it."""
    gateway: str = ""
    """An address without prefix length; empty where the network has none."""
    auxiliary: dict[str, str] = {}
    """Addresses that are never given out, by what they are for."""
    identifier: str = ""
    """What an external IPAM driver calls it."""


class NetworkRecord(msgspec.Struct, kw_only=True):
    """The durable part of a network; ``created`` in nanoseconds since the epoch."""

    id: str
    name: str
    driver: str
    created: int
    scope: str = "local"
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: str = ""
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    ipam: list[IPAMConfig] = []
    """What a configuration-only network has for others to take."""
    pools: list[PoolRecord] = []
    interface: str = ""
    """The host's interface of it: a bridge, or the parent of the containers' interfaces."""
    foreign: bool = False
    """The interface was there before the network, and stays after it."""
    lends_address: bool = False
    """A foreign interface has the gateway's address only from the engine."""
    draft: bool = False
    """It is being made or removed: a start of the engine that finds it so removes it."""
    gateway: str = ""
    """Of early rows of the default bridge: its own address with the subnet's prefix length."""
