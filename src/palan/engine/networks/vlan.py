"""The drivers ``macvlan`` and ``ipvlan``: containers on the link of a parent interface.

The parent may be an interface for a VLAN tag, such as ``eth0.50``; it is made with the first
network that names it and removed with the last.  Without a parent named, containers reach only
each other.
"""

import contextlib
import errno
from collections.abc import Iterable
from typing import Final

from palan.api.errors import Conflict, InternalError, InvalidParameter, NotYetImplemented
from palan.engine.config import EngineConfig
from palan.engine.networks.bridge import interface_alias
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.options import mtu_option
from palan.engine.networks.record import NetworkRecord
from palan.host import netlink
from palan.host.netlink import Link, Netlink, Request


__all__ = ["IpvlanDriver", "MacvlanDriver"]

_LOOPBACK: Final = 1
_LAST_TAG: Final = 4094
_LONGEST_NAME: Final = 15
_MACVLAN_MODES: Final = ("bridge", "private", "vepa", "passthru")
_IPVLAN_MODES: Final = ("l2", "l3", "l3s")
_IPVLAN_FLAGS: Final = ("bridge", "private", "vepa")


class _ParentDriver:
    """The common part of both drivers: the parent interface in the host."""

    name = ""
    prefix = ""
    wants_gateway = False

    def __init__(self, config: EngineConfig, networks: Iterable[Network]) -> None:
        self._config = config
        self._networks = networks

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Refuse invalid settings, and choose the parent, without looking at the machine.

        Raises:
            InvalidParameter, Conflict: in dockerd's words.
        """
        mtu_option(record.options)
        parent = record.options.get("parent", "")
        if parent == "lo":
            raise InvalidParameter(f"loopback interface is not a valid {self.name} parent link")
        if len(parent.encode()) > _LONGEST_NAME:
            raise InvalidParameter(f"-o parent interface was not found on the host: {parent}")
        record.interface = parent or f"{self.prefix}{record.id[:12]}"
        same = [n for n in others if n.driver in ("macvlan", "ipvlan")]
        self._check_mode(record, [n for n in same if n.record.interface == record.interface])

    def _check_mode(self, record: NetworkRecord, sharing: Iterable[Network]) -> None:
        raise NotImplementedError

    def prepare(self, host: Netlink, network: Network) -> None:
        """Check that the kernel has the driver, and that the parent exists or can be made.

        Raises:
            NotYetImplemented: the kernel does not have the driver.
            InvalidParameter: the parent does not exist.
        """
        self._probe(host)
        record = network.record
        link = host.link(record.interface)
        if link is not None:
            # One that the engine made for another network is shared.
            record.foreign = not link.alias.startswith(interface_alias(self._config))
        elif record.options.get("parent"):
            parent, _ = _parse_tagged(record.interface)
            if host.link(parent) is None:
                raise InvalidParameter(f"-o parent interface was not found on the host: {parent}")

    def _probe(self, host: Netlink) -> None:
        """Request an impossible interface: the kernel's error tells whether it has the driver."""
        try:
            host.perform(self._request("palan-probe", _LOOPBACK, None))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise NotYetImplemented(
                    f"{self.name} networks cannot be had here: the kernel has no {self.name}"
                ) from None
        else:
            with contextlib.suppress(OSError):
                host.perform(netlink.delete_link("palan-probe"))

    def up(self, host: Netlink, network: Network) -> None:
        """Make the parent interface if it does not exist, and set it up.

        Raises:
            InternalError: the interface below a VLAN does not exist any more.
            OSError: the kernel refuses.
        """
        record = network.record
        link = host.link(record.interface)
        if link is None:
            self._make(host, record)
        elif not link.up:
            host.perform(netlink.set_link(link.index, up=True))

    def _make(self, host: Netlink, record: NetworkRecord) -> None:
        name = record.interface
        if record.options.get("parent"):
            parent, tag = _parse_tagged(name)
            below = host.link(parent)
            if below is None:
                raise InternalError(f"the parent interface {parent} of {name} is gone")
            if not below.up:
                host.perform(netlink.set_link(below.index, up=True))
            try:
                host.perform(netlink.add_vlan(name, below.index, tag, up=False))
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    raise NotYetImplemented(
                        f"the interface {name} cannot be had here: the kernel has no VLANs (802.1q)"
                    ) from None
                raise
        else:
            try:
                host.perform(netlink.add_dummy(name, up=False))
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                # A bridge without ports serves the same purpose.
                host.perform(netlink.add_bridge(name, up=False))
        alias = interface_alias(self._config, record.id)
        host.perform(netlink.set_link(name, alias=alias, up=True))
        record.foreign = False

    def down(self, host: Netlink, network: Network) -> None:
        """Remove the parent if the engine has made it and no other network needs it."""
        record = network.record
        link = host.link(record.interface) if record.interface else None
        if link is None or not link.alias.startswith(interface_alias(self._config)):
            return
        for other in self._networks:
            if other is not network and other.record.interface == record.interface:
                alias = interface_alias(self._config, other.id)
                host.perform(netlink.set_link(link.index, alias=alias))
                return
        with contextlib.suppress(OSError):
            host.perform(netlink.delete_link(link.index))

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Make an interface on top of the parent, in a namespace.

        Raises:
            InternalError: the parent does not exist.
            OSError: the kernel refuses.
        """
        parent = host.link(network.record.interface)
        if parent is None:
            self.up(host, network)
            parent = host.link(network.record.interface)
        if parent is None:
            raise InternalError(
                f"the requested parent interface {network.record.interface} was not found on the"
                " Docker host"
            )
        host.perform(self._plug_request(network, endpoint, parent, namespace))

    def _plug_request(
        self, network: Network, endpoint: EndpointRecord, parent: Link, namespace: int
    ) -> Request:
        raise NotImplementedError

    def _request(self, name: str, parent: int, namespace: int | None) -> Request:
        raise NotImplementedError

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Remove the interface if it is of this driver; idempotent."""
        with contextlib.suppress(OSError), Netlink(namespace) as inside:
            link = inside.link(endpoint.interface)
            if link is not None and link.kind == self.name:
                inside.perform(netlink.delete_link(link.index))


class MacvlanDriver(_ParentDriver):
    """The driver ``macvlan``: each container has its own hardware address."""

    name = "macvlan"
    prefix = "dm-"

    def _check_mode(self, record: NetworkRecord, sharing: Iterable[Network]) -> None:
        mode = _macvlan_mode(record)
        if mode not in _MACVLAN_MODES:
            raise InvalidParameter(
                f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan"
                " driver default"
            )
        for other in sharing:
            if mode == "passthru":
                raise Conflict(
                    f"cannot use mode passthru, macvlan network {other.id} is already using parent"
                    f" interface {record.interface}"
                )
            if other.driver == "macvlan" and _macvlan_mode(other.record) == "passthru":
                raise Conflict(
                    f"macvlan network {other.id} is already using parent interface"
                    f" {record.interface} in mode passthru"
                )
            if other.driver != "macvlan":
                raise Conflict(
                    f"ipvlan network {other.id} is already using parent interface"
                    f" {record.interface}"
                )

    def _plug_request(
        self, network: Network, endpoint: EndpointRecord, parent: Link, namespace: int
    ) -> Request:
        return netlink.add_macvlan(
            endpoint.interface,
            parent.index,
            mode=_macvlan_mode(network.record),
            mac=endpoint.mac_address or None,
            mtu=network.options.mtu or None,
            netns=namespace,
        )

    def _request(self, name: str, parent: int, namespace: int | None) -> Request:
        return netlink.add_macvlan(name, parent, netns=namespace)


class IpvlanDriver(_ParentDriver):
    """The driver ``ipvlan``: all containers share the hardware address of the parent."""

    name = "ipvlan"
    prefix = "di-"

    def _check_mode(self, record: NetworkRecord, sharing: Iterable[Network]) -> None:
        mode, kind = _ipvlan_mode(record)
        if mode not in _IPVLAN_MODES:
            raise InvalidParameter(
                f"requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver"
                " default"
            )
        if kind not in _IPVLAN_FLAGS:
            raise InvalidParameter(
                f"requested ipvlan flag '{kind}' is not valid, 'bridge' is the ipvlan driver"
                " default"
            )
        for other in sharing:
            raise Conflict(
                f"network {other.id} is already using parent interface {record.interface}"
            )

    def _plug_request(
        self, network: Network, endpoint: EndpointRecord, parent: Link, namespace: int
    ) -> Request:
        mode, kind = _ipvlan_mode(network.record)
        endpoint.mac_address = parent.mac
        return netlink.add_ipvlan(
            endpoint.interface,
            parent.index,
            mode=mode,
            flag=kind,
            mtu=network.options.mtu or None,
            netns=namespace,
        )

    def _request(self, name: str, parent: int, namespace: int | None) -> Request:
        return netlink.add_ipvlan(name, parent, netns=namespace)


def _macvlan_mode(record: NetworkRecord) -> str:
    return record.options.get("macvlan_mode") or "bridge"


def _ipvlan_mode(record: NetworkRecord) -> tuple[str, str]:
    return (
        record.options.get("ipvlan_mode") or "l2",
        record.options.get("ipvlan_flag") or "bridge",
    )


def _parse_tagged(name: str) -> tuple[str, int]:
    """Split a name such as ``eth0.50`` into interface and VLAN tag.

    Raises:
        InvalidParameter: the name has another form; in dockerd's words.
    """
    if "." not in name:
        raise InvalidParameter(
            f"invalid subinterface vlan name {name}, example formatting is eth0.10"
        )
    parent, _, tag = name.partition(".")
    if "." in tag:
        raise InvalidParameter(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead"
            f" received {name}"
        )
    if not (tag.isascii() and tag.isdecimal()):
        raise InvalidParameter(
            f"unable to parse a valid vlan id from: {tag} (ex. eth0.10 for vlan 10)"
        )
    if not 1 <= int(tag) <= _LAST_TAG:
        raise InvalidParameter(f"vlan id must be between 1-4094, received: {tag}")
    return parent, int(tag)
