"""Requests to rtnetlink: interfaces, addresses, routes, neighbours.

Each function makes one message for :meth:`palan.host.netlink.Netlink.perform`. One message does
as much as the kernel allows: it creates a veth pair with both names, hardware addresses and MTUs,
one end up and attached to its bridge, the other in its namespace.
"""

import ipaddress
import struct
from typing import Final

from palan.host._netlink_codec import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    IPAddress,
    IPInterface,
    IPNetwork,
    Request,
    attribute,
    mac_bytes,
    nested,
    string,
    u8,
    u16,
    u32,
)


__all__ = [
    "add_address",
    "add_bridge",
    "add_dummy",
    "add_forwarding",
    "add_ipvlan",
    "add_macvlan",
    "add_neighbor",
    "add_route",
    "add_veth",
    "add_vlan",
    "add_vxlan",
    "delete_address",
    "delete_forwarding",
    "delete_link",
    "delete_neighbor",
    "delete_route",
    "set_bridge_port",
    "set_link",
]

_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_NEWROUTE: Final = 24
_RTM_DELROUTE: Final = 25
_RTM_NEWNEIGH: Final = 28
_RTM_DELNEIGH: Final = 29

_AF_INET: Final = 2
_AF_BRIDGE: Final = 7
_AF_INET6: Final = 10

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_IFALIAS: Final = 20
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_INFO_SLAVE_DATA: Final = 5
_VETH_INFO_PEER: Final = 1
_IFF_UP: Final = 0x1
_MAX_NAME: Final = 15

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_IFA_F_NODAD: Final = 0x2

_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_TABLE: Final = 15
_RTNH_F_ONLINK: Final = 0x4
_RTN_UNICAST: Final = 1
_RTPROT_STATIC: Final = 4
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RT_SCOPE_NOWHERE: Final = 255
_RT_TABLE_MAIN: Final = 254

_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NUD_PERMANENT: Final = 0x80
_NTF_SELF: Final = 0x2

_NEW: Final = NLM_F_CREATE | NLM_F_EXCL
_MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_IPVLAN_MODES: Final = {"l2": 0, "l3": 1, "l3s": 2}
_IPVLAN_FLAGS: Final = {"bridge": 0, "private": 1, "vepa": 2}


# ---- interfaces -------------------------------------------------------------


def _link_header(*, index: int = 0, up: bool | None = None) -> bytes:
    """Return the fixed part of link messages; ``up`` None leaves the state unchanged."""
    flags = _IFF_UP if up else 0
    change = 0 if up is None else _IFF_UP
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _name(name: str) -> bytes:
    if not 0 < len(name.encode()) <= _MAX_NAME:
        raise ValueError(f"interface name must have 1 to {_MAX_NAME} bytes: {name!r}")
    return string(_IFLA_IFNAME, name)


def _link_attributes(
    name: str | None = None,
    mac: str | None = None,
    mtu: int | None = None,
    *,
    master: int | None = None,
    netns: int | None = None,
    parent: int | None = None,
) -> bytes:
    """Encode the common attributes that are given."""
    parts = []
    if name is not None:
        parts.append(_name(name))
    if mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, mac_bytes(mac)))
    if mtu is not None:
        parts.append(u32(_IFLA_MTU, mtu))
    if master is not None:
        parts.append(u32(_IFLA_MASTER, master))
    if netns is not None:
        parts.append(u32(_IFLA_NET_NS_FD, netns))
    if parent is not None:
        parts.append(u32(_IFLA_LINK, parent))
    return b"".join(parts)


def _create(kind: str, name: str, up: bool, attributes: bytes, *data: bytes) -> Request:
    link = [string(_IFLA_INFO_KIND, kind)]
    if data:
        link.append(nested(_IFLA_INFO_DATA, *data))
    body = _link_header(up=up or None) + attributes + nested(_IFLA_LINKINFO, *link)
    return Request(_RTM_NEWLINK, _NEW, body, f"create {kind} {name}")


def add_bridge(
    name: str, *, mac: str | None = None, mtu: int | None = None, up: bool = True
) -> Request:
    """Create a bridge. Without ``mac`` its hardware address changes with its ports."""
    return _create("bridge", name, up, _link_attributes(name, mac, mtu))


def add_dummy(name: str, *, mtu: int | None = None, up: bool = True) -> Request:
    """Create a dummy interface, which drops all packets."""
    return _create("dummy", name, up, _link_attributes(name, mtu=mtu))


def add_veth(
    name: str,
    peer: str,
    *,
    mac: str | None = None,
    mtu: int | None = None,
    master: int | None = None,
    up: bool = True,
    peer_mac: str | None = None,
    peer_netns: int | None = None,
) -> Request:
    """Create a veth pair.

    The peer is created down, because it can be set up only when both ends exist.

    Args:
        name: the end in this namespace.
        peer: the name of the other end.
        mac: hardware address of the end in this namespace; None for a random one.
        mtu: MTU of both ends.
        master: the index of the bridge of the end in this namespace.
        up: whether to set the end in this namespace up.
        peer_mac: hardware address of the other end.
        peer_netns: a descriptor of the network namespace of the other end.
    """
    other = _link_header() + _link_attributes(peer, peer_mac, mtu, netns=peer_netns)
    attributes = _link_attributes(name, mac, mtu, master=master)
    return _create("veth", name, up, attributes, nested(_VETH_INFO_PEER, other))


def add_macvlan(
    name: str,
    parent: int,
    *,
    mode: str = "bridge",
    mac: str | None = None,
    mtu: int | None = None,
    netns: int | None = None,
    up: bool = False,
) -> Request:
    """Create a macvlan interface on ``parent``, with a hardware address of its own."""
    attributes = _link_attributes(name, mac, mtu, netns=netns, parent=parent)
    return _create("macvlan", name, up, attributes, u32(1, _MACVLAN_MODES[mode]))


def add_ipvlan(
    name: str,
    parent: int,
    *,
    mode: str = "l2",
    flag: str = "bridge",
    mtu: int | None = None,
    netns: int | None = None,
    up: bool = False,
) -> Request:
    """Create an ipvlan interface on ``parent``, sharing its hardware address."""
    attributes = _link_attributes(name, mtu=mtu, netns=netns, parent=parent)
    data = (u16(1, _IPVLAN_MODES[mode]), u16(2, _IPVLAN_FLAGS[flag]))
    return _create("ipvlan", name, up, attributes, *data)


def add_vlan(name: str, parent: int, tag: int, *, up: bool = True) -> Request:
    """Create a VLAN interface for the frames with a tag on ``parent``."""
    return _create("vlan", name, up, _link_attributes(name, parent=parent), u16(1, tag))


def add_vxlan(
    name: str,
    identifier: int,
    *,
    port: int = 4789,
    local: IPAddress | None = None,
    proxy: bool = True,
    learning: bool = True,
    report_misses: bool = False,
    mtu: int | None = None,
    master: int | None = None,
    netns: int | None = None,
    up: bool = True,
) -> Request:
    """Create a VXLAN interface, a tunnel for Ethernet frames over UDP.

    Args:
        name: name of the interface.
        identifier: the VXLAN network identifier (VNI).
        port: the UDP port.
        local: source address of the tunnel's packets.
        proxy: answer ARP from the neighbour table.
        learning: learn the locations of hardware addresses from received frames.
        report_misses: notify user space about unknown neighbours.
        mtu: MTU of the interface.
        master: the index of its bridge.
        netns: a descriptor of the namespace it is created in; the tunnel's packets still use
            this one.
        up: whether to set it up.
    """
    data = [
        u32(1, identifier),
        u8(7, learning),
        u8(11, proxy),
        u8(13, report_misses),
        u8(14, report_misses),
        attribute(15, struct.pack(">H", port)),
    ]
    if local is not None:
        data.append(attribute(4 if local.version == 4 else 17, local.packed))
    return _create(
        "vxlan", name, up, _link_attributes(name, None, mtu, master=master, netns=netns), *data
    )


def _identify(link: int | str) -> tuple[int, bytes]:
    return (link, b"") if isinstance(link, int) else (0, _name(link))


def set_link(
    link: int | str,
    *,
    up: bool | None = None,
    name: str | None = None,
    master: int | None = None,
    mac: str | None = None,
    mtu: int | None = None,
    netns: int | None = None,
    alias: str | None = None,
) -> Request:
    """Change the given properties of an interface.

    Args:
        link: its index or name; the index to rename it.
        up: set it up or down.
        name: its new name.
        master: the index of the bridge to attach it to; 0 to detach it.
        mac: its hardware address.
        mtu: its MTU.
        netns: a descriptor of the network namespace to move it to.
        alias: a free text, visible to all programs.
    """
    index, by_name = _identify(link)
    if by_name and name is not None:
        raise ValueError("an interface is renamed by its index")
    attributes = _link_attributes(name, mac, mtu, master=master, netns=netns)
    if alias is not None:
        attributes += string(_IFLA_IFALIAS, alias)
    body = _link_header(index=index, up=up) + by_name + attributes
    return Request(_RTM_NEWLINK, 0, body, f"change interface {link}")


def set_bridge_port(
    link: int | str,
    *,
    hairpin: bool | None = None,
    isolated: bool | None = None,
    learning: bool | None = None,
    flood: bool | None = None,
) -> Request:
    """Change the properties of a bridge port.

    Args:
        link: the port's index or name.
        hairpin: frames may leave through the port on which they arrived.
        isolated: no frames to and from other isolated ports.
        learning: learn hardware addresses from the port.
        flood: send frames for unknown addresses to the port.
    """
    given = {4: hairpin, 33: isolated, 8: learning, 9: flood}
    data = [u8(kind, value) for kind, value in given.items() if value is not None]
    index, by_name = _identify(link)
    slave = [string(_IFLA_INFO_SLAVE_KIND, "bridge"), nested(_IFLA_INFO_SLAVE_DATA, *data)]
    body = _link_header(index=index) + by_name + nested(_IFLA_LINKINFO, *slave)
    return Request(_RTM_NEWLINK, 0, body, f"change bridge port {link}")


def delete_link(link: int | str) -> Request:
    """Delete an interface; a veth is deleted together with its peer."""
    index, by_name = _identify(link)
    return Request(_RTM_DELLINK, 0, _link_header(index=index) + by_name, f"delete interface {link}")


# ---- addresses and routes ---------------------------------------------------


def _family(address: IPAddress | IPInterface | IPNetwork) -> int:
    return _AF_INET if address.version == 4 else _AF_INET6


def _address(kind: int, flags: int, index: int, address: IPInterface, *, nodad: bool) -> Request:
    own = address.ip.packed
    prefix = address.network.prefixlen
    address_flags = _IFA_F_NODAD if nodad and address.version == 6 else 0
    body = struct.pack("=BBBBi", _family(address), prefix, address_flags, 0, index)
    body += attribute(_IFA_LOCAL, own) + attribute(_IFA_ADDRESS, own)
    if isinstance(address, ipaddress.IPv4Interface) and prefix < 31:
        body += attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    verb = "add" if kind == _RTM_NEWADDR else "delete"
    return Request(kind, flags, body, f"{verb} address {address} on interface {index}")


def add_address(index: int, address: IPInterface | str, *, nodad: bool = True) -> Request:
    """Add an address such as ``172.17.0.1/16`` to an interface.

    Args:
        index: index of the interface.
        address: with the prefix length of its network.
        nodad: use an IPv6 address at once, without duplicate address detection.
    """
    return _address(_RTM_NEWADDR, _NEW, index, ipaddress.ip_interface(address), nodad=nodad)


def delete_address(index: int, address: IPInterface | str) -> Request:
    """Delete an address from an interface."""
    return _address(_RTM_DELADDR, 0, index, ipaddress.ip_interface(address), nodad=False)


def _route(
    kind: int,
    flags: int,
    destination: IPNetwork,
    *,
    gateway: IPAddress | str | None,
    index: int | None,
    source: IPAddress | str | None = None,
    metric: int | None,
    table: int,
    onlink: bool = False,
) -> Request:
    deleting = kind == _RTM_DELROUTE
    scope = _RT_SCOPE_UNIVERSE
    if deleting:
        scope = _RT_SCOPE_NOWHERE
    elif gateway is None and destination.version == 4:
        scope = _RT_SCOPE_LINK
    body = struct.pack(
        "=BBBBBBBBI",
        _family(destination),
        destination.prefixlen,
        0,
        0,
        table if table < 256 else 0,
        0 if deleting else _RTPROT_STATIC,
        scope,
        0 if deleting else _RTN_UNICAST,
        _RTNH_F_ONLINK if onlink else 0,
    )
    if destination.prefixlen:
        body += attribute(_RTA_DST, destination.network_address.packed)
    if gateway is not None:
        body += attribute(_RTA_GATEWAY, ipaddress.ip_address(gateway).packed)
    if index is not None:
        body += u32(_RTA_OIF, index)
    if source is not None:
        body += attribute(_RTA_PREFSRC, ipaddress.ip_address(source).packed)
    if metric is not None:
        body += u32(_RTA_PRIORITY, metric)
    body += u32(_RTA_TABLE, table)
    verb = "delete" if deleting else "add"
    via = "" if gateway is None else f" via {gateway}"
    return Request(kind, flags, body, f"{verb} route to {destination}{via}")


def add_route(
    destination: IPNetwork | str,
    *,
    gateway: IPAddress | str | None = None,
    index: int | None = None,
    source: IPAddress | str | None = None,
    metric: int | None = None,
    table: int = _RT_TABLE_MAIN,
    onlink: bool = False,
    replace: bool = False,
) -> Request:
    """Add a route.

    Args:
        destination: such as ``0.0.0.0/0`` or ``::/0`` for the default route.
        gateway: the next hop; None for a directly connected network.
        index: the outgoing interface; None to derive it from the gateway.
        source: the preferred source address.
        metric: the route with the lowest metric is used.
        table: the routing table.
        onlink: the gateway is directly reachable even if no route says so.
        replace: replace a route to the same destination instead of failing.
    """
    return _route(
        _RTM_NEWROUTE,
        NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL),
        ipaddress.ip_network(destination),
        gateway=gateway,
        index=index,
        source=source,
        metric=metric,
        table=table,
        onlink=onlink,
    )


def delete_route(
    destination: IPNetwork | str,
    *,
    gateway: IPAddress | str | None = None,
    index: int | None = None,
    metric: int | None = None,
    table: int = _RT_TABLE_MAIN,
) -> Request:
    """Delete the route that matches all given properties."""
    return _route(
        _RTM_DELROUTE,
        0,
        ipaddress.ip_network(destination),
        gateway=gateway,
        index=index,
        metric=metric,
        table=table,
    )


# ---- neighbours -------------------------------------------------------------


def _neighbor(kind: int, family: int, index: int, flags: int, *attributes: bytes) -> bytes:
    state = _NUD_PERMANENT if kind == _RTM_NEWNEIGH else 0
    return struct.pack("=BxxxiHBB", family, index, state, flags, 0) + b"".join(attributes)


def add_neighbor(index: int, address: IPAddress | str, mac: str) -> Request:
    """Add a permanent entry for a neighbour's hardware address."""
    ip = ipaddress.ip_address(address)
    parts = attribute(_NDA_DST, ip.packed), attribute(_NDA_LLADDR, mac_bytes(mac))
    body = _neighbor(_RTM_NEWNEIGH, _family(ip), index, 0, *parts)
    return Request(_RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, f"add neighbour {ip}")


def delete_neighbor(index: int, address: IPAddress | str) -> Request:
    """Delete the entry of a neighbour."""
    ip = ipaddress.ip_address(address)
    body = _neighbor(_RTM_DELNEIGH, _family(ip), index, 0, attribute(_NDA_DST, ip.packed))
    return Request(_RTM_DELNEIGH, 0, body, f"delete neighbour {ip}")


def _forwarding(kind: int, flags: int, index: int, mac: str, via: IPAddress | str) -> Request:
    ip = ipaddress.ip_address(via)
    parts = attribute(_NDA_LLADDR, mac_bytes(mac)), attribute(_NDA_DST, ip.packed)
    body = _neighbor(kind, _AF_BRIDGE, index, _NTF_SELF, *parts)
    verb = "add" if kind == _RTM_NEWNEIGH else "delete"
    return Request(kind, flags, body, f"{verb} forwarding of {mac} to {ip}")


def add_forwarding(index: int, mac: str, via: IPAddress | str) -> Request:
    """Add a forwarding entry of a VXLAN interface: the host (``via``) of a hardware address."""
    return _forwarding(_RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, mac, via)


def delete_forwarding(index: int, mac: str, via: IPAddress | str) -> Request:
    """Delete a forwarding entry."""
    return _forwarding(_RTM_DELNEIGH, 0, index, mac, via)
