"""The row of a network in the database."""

import msgspec

from palan.api.networks import IPAMConfig


__all__ = ["NetworkRecord", "PoolRecord"]


class PoolRecord(msgspec.Struct, kw_only=True):
    """A subnet of a network, as it was asked for or chosen."""

    subnet: str
    range: str = ""
    """The part from which addresses are allocated; empty for all of it."""
    gateway: str = ""
    """An address without prefix length; empty without a gateway."""
    auxiliary: dict[str, str] = {}
    """Addresses that are never allocated, by their names in the request."""
    identifier: str = ""
    """The id that an IPAM plugin has given to the pool."""


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
    """The subnets of a configuration-only network, for networks based on it."""
    pools: list[PoolRecord] = []
    interface: str = ""
    """The interface in the host: a bridge, or the parent of the containers' interfaces."""
    foreign: bool = False
    """Whether the interface existed before the network, and stays after it."""
    lends_address: bool = False
    """Whether the engine has added the gateway's address to a foreign interface."""
    draft: bool = False
    """Whether it is being made or removed: the next start of the engine removes it then."""
    removing: bool = False
    """Whether it is a draft because it is being removed: its end is an event."""
    gateway: str = ""
    """In early rows of the default bridge: its address with the subnet's prefix length."""

    @property
    def null_pools(self) -> dict[int, str]:
        """The subnets of the IPAM driver ``null``, which gives no addresses, by IP version."""
        if self.ipam_driver != "null" or self.config_only:
            return {}
        enabled = ((4, self.enable_ipv4, "0.0.0.0/0"), (6, self.enable_ipv6, "::/0"))
        return {version: subnet for version, wanted, subnet in enabled if wanted}
