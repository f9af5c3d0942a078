"""Removing the rules and interfaces of an engine that is not running."""

import contextlib

from palan.engine.config import EngineConfig
from palan.engine.networks.bridge import interface_alias
from palan.engine.networks.firewall_backends import remove_rules
from palan.host import netlink
from palan.host.netlink import Netlink


__all__ = ["remove_networking"]


def remove_networking(config: EngineConfig) -> None:
    """Remove the firewall rules and all interfaces that the engine has made.

    Raises:
        OSError: something stays.
    """
    remove_rules(config.table_name)
    own = interface_alias(config)
    with Netlink() as host:
        for link in host.links():
            if link.alias.startswith(own) or (
                not config.bridge and link.name == config.bridge_name
            ):
                with contextlib.suppress(OSError):
                    host.perform(netlink.delete_link(link.index))
