"""The default bridge: its interface, its rules, what the host must allow for it."""

import errno
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from palan.engine.config import EngineConfig
from palan.engine.networks.rules import Publication, add_ports, static_rules
from palan.host import netlink, nftables
from palan.host.netlink import Netlink


__all__ = ["bridge_address", "bring_up", "host_subnets", "take_down", "write_rules"]


def host_subnets(bridge: str) -> list[IPv4Network]:
    """The IPv4 networks that the host has addresses in or routes to, the bridge's left out."""
    with Netlink() as link:
        own = link.link(bridge)
        index = own.index if own else -1
        found = [
            a.address.network
            for a in link.addresses()
            if a.index != index and isinstance(a.address, IPv4Interface)
        ]
        found += [
            r.destination
            for r in link.routes()
            if isinstance(r.destination, IPv4Network)
            and r.destination.prefixlen
            and r.index != index
        ]
    return found


def bridge_address(name: str) -> IPv4Interface | None:
    """The IPv4 address of a bridge that somebody else has made."""
    with Netlink() as link:
        bridge = link.link(name)
        if bridge is None:
            return None
        found = [a.address for a in link.addresses(bridge.index)]
    return next((a for a in found if isinstance(a, IPv4Interface)), None)


def bring_up(
    config: EngineConfig, gateway: IPv4Interface, publications: Iterable[Publication]
) -> bool:
    """Make the bridge as it should be, whatever is there, and write all rules.

    Interfaces of containers that are on the bridge stay on it.

    Returns:
        Whether there are rules; without nftables there are none.
    """
    name = config.bridge_name
    with Netlink() as link:
        bridge = link.link(name)
        if bridge is None:
            # A given hardware address keeps the kernel from changing it with each port.
            mac = "02:42:" + ":".join(f"{byte:02x}" for byte in gateway.ip.packed)
            link.perform(netlink.add_bridge(name, mac=mac, mtu=config.mtu))
            bridge = link.link(name)
            assert bridge is not None  # noqa: S101 - it was just made
        elif not config.bridge:
            link.perform(netlink.set_link(bridge.index, up=True, mtu=config.mtu))
        addresses = {a.address for a in link.addresses(bridge.index)}
        if not config.bridge or gateway not in addresses:
            for stale in addresses - {gateway}:
                if isinstance(stale, IPv4Interface) and not config.bridge:
                    link.perform(netlink.delete_address(bridge.index, stale))
            if gateway not in addresses:
                link.perform(netlink.add_address(bridge.index, gateway))
    if config.ip_forward:
        _allow("ip_forward")
    _allow(f"conf/{name}/route_localnet")
    if not config.iptables or not nftables.available():
        return False
    write_rules(config, gateway, publications)
    return True


def write_rules(
    config: EngineConfig, gateway: IPv4Interface, publications: Iterable[Publication]
) -> None:
    """Replace the engine's table by one with these ports in it, in one transaction.

    Raises:
        NftError: the rules were refused.
    """
    table = config.table_name
    rules = static_rules(
        table,
        config.bridge_name,
        str(gateway.network),
        masquerade=config.ip_masq,
        talk=config.icc,
    )
    nftables.run(rules + add_ports(table, publications))


def _allow(name: str) -> None:
    path = Path("/proc/sys/net/ipv4") / name
    try:
        if path.read_text().strip() != "1":
            path.write_text("1")
    except OSError as error:
        # Read-only in some sandboxes, where whoever made them has decided.
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def take_down(config: EngineConfig) -> None:
    """Remove the rules, and the bridge if it is the engine's own."""
    if nftables.available():
        nftables.run(f"table ip {config.table_name} {{}}\ndelete table ip {config.table_name}")
    if not config.bridge:
        with Netlink() as link:
            if link.link(config.bridge_name) is not None:
                link.perform(netlink.delete_link(config.bridge_name))
