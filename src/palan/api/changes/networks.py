"""Changes of networks."""

from palan.api.changes._change import Call, Change, child, drop, without
from palan.api.version import Version


__all__ = ["CHANGES"]


def _containers_in_list(call: Call) -> None:
    """1.28 removed containers from lists of networks."""
    call.query["containers"] = ["1"]


def _no_ipv4_choice(call: Call) -> None:
    """1.48 added networks without IPv4."""
    drop(child(call.body), "EnableIPv4")


def _no_mac_address(call: Call) -> None:
    """1.54 added the hardware address to connect."""
    drop(child(call.body, "EndpointConfig"), "MacAddress")


CHANGES = (
    Change(Version(1, 28), ("networks.list",), lift=_containers_in_list),
    Change(Version(1, 48), ("networks.create",), lift=_no_ipv4_choice),
    Change(Version(1, 52), ("networks.inspect",), lower=without("Status")),
    Change(Version(1, 54), ("networks.connect",), lift=_no_mac_address),
)
