"""Taking away what an engine's networks have of the host, when the engine is not there."""

import contextlib

from palan.engine.config import EngineConfig
from palan.engine.networks.bridge import mark
from palan.engine.networks.firewall_backends import remove_rules
from palan.host import netlink
from palan.host.netlink import Netlink


__all__ = ["take_down"]


def take_down(config: EngineConfig) -> None:
    """Remove the rules, and all interfaces that the engine has made."""
    remove_rules(config.table_name)
    own = mark(config)
    with Netlink() as host:
        for link in host.links():
            if link.alias.startswith(own) or (
                not config.bridge and link.name == config.bridge_name
            ):
                with contextlib.suppress(OSError):
                    host.perform(netlink.delete_link(link.index))
