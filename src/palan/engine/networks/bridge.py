"""The driver ``bridge``: a bridge in the host per network, a veth pair per endpoint."""

import contextlib
import errno
import secrets
import threading
from collections.abc import Iterable
from ipaddress import IPv4Interface, ip_address
from pathlib import Path

from palan.api.errors import Forbidden, InternalError, InvalidParameter
from palan.engine.config import EngineConfig
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.ipam import IPInterface
from palan.engine.networks.network import Network
from palan.engine.networks.options import bridge_options
from palan.engine.networks.record import NetworkRecord
from palan.host import netlink
from palan.host.announce import Announcer
from palan.host.netlink import Link, Netlink


__all__ = ["BridgeDriver", "bridge_address", "interface_alias"]


def bridge_address(name: str) -> IPv4Interface | None:
    """Return the IPv4 address of a bridge that the engine has not made; None without one."""
    with Netlink() as link:
        bridge = link.link(name)
        if bridge is None:
            return None
        found = [a.address for a in link.addresses(bridge.index)]
    return next((a for a in found if isinstance(a, IPv4Interface)), None)


def interface_alias(config: EngineConfig, network_id: str = "") -> str:
    """Return the alias of the interface of a network that the engine has made.

    Without an id it is the common prefix of all of them.
    """
    return f"{config.table_name} {network_id}"


class BridgeDriver:
    """Bridges, and the veth pairs on them.  All methods block."""

    name = "bridge"
    wants_gateway = True

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._announcer: Announcer | None = None
        self._making = threading.Lock()

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Refuse invalid settings, and choose the bridge, without looking at the machine.

        Raises:
            InvalidParameter: an option is invalid.
            Forbidden: another network has the bridge.
        """
        if not record.enable_ipv4 and not record.enable_ipv6:
            raise InvalidParameter("IPv4 or IPv6 must be enabled")
        options = bridge_options(record.options, internal=record.internal)
        record.interface = options.name or f"br-{record.id[:12]}"
        for other in others:
            if other.bridge == record.interface:
                raise Forbidden(
                    f"cannot create network {record.id} ({record.interface}): conflicts with"
                    f" network {other.id} ({other.bridge}): networks have same bridge name"
                )

    def prepare(self, host: Netlink, network: Network) -> None:
        """Check whether the bridge exists already, before the network's row is saved.

        Raises:
            Forbidden: an interface of that name exists and is not a bridge.
            InvalidParameter: a subnet is a multicast one.
        """
        record = network.record
        for pool in network.pools_of(6):
            if pool.subnet.is_multicast:
                shown = pool.gateway or pool.subnet
                raise InvalidParameter(f"multicast subnet '{shown}' is not allowed")
        link = host.link(record.interface)
        if link is None:
            return
        if link.kind != "bridge":
            raise Forbidden(
                f"cannot create network {record.id} ({record.interface}):"
                f" there is an interface of that name which is no bridge"
            )
        record.foreign = True
        there = {a.address for a in host.addresses(link.index)}
        record.lends_address = any(wanted not in there for wanted in _addresses(network))

    def up(self, host: Netlink, network: Network) -> None:
        """Make the bridge, or change an existing one to what the network needs.

        A start of a container and a repair may both make a bridge that was deleted.

        Interfaces of containers that are attached to the bridge stay attached.

        Raises:
            OSError: the kernel refuses.
        """
        with self._making:
            self._up(host, network)

    def _up(self, host: Netlink, network: Network) -> None:
        name, options = network.bridge, network.options
        bridge = host.link(name)
        wanted = list(_addresses(network))
        if bridge is None:
            # With a fixed hardware address, the kernel does not change it with each port.
            host.perform(
                netlink.add_bridge(name, mac=_mac(wanted), mtu=options.mtu or None, up=False),
                # It has its alias before anything depends on it.
                netlink.set_link(name, alias=interface_alias(self._config, network.id)),
            )
            bridge = host.link(name)
            assert bridge is not None  # noqa: S101 - it was just made
            # The host must not accept router advertisements of containers.  Nor does it need to
            # detect duplicate addresses: containers are reached at once, not after seconds.
            _set(f"ipv6/conf/{name}/accept_ra", "0")
            _set(f"ipv6/conf/{name}/accept_dad", "0")
        if wanted and any(a.version == 6 for a in wanted):
            # IPv6 is enabled before the bridge is up: it needs a link-local address.
            _set(f"ipv6/conf/{name}/disable_ipv6", "0")
        if not network.record.foreign or not bridge.up:
            host.perform(netlink.set_link(bridge.index, up=True, mtu=options.mtu or None))
        present = {a.address for a in host.addresses(bridge.index) if not a.address.is_link_local}
        if not network.record.foreign:
            for stale in present.difference(wanted):
                host.perform(netlink.delete_address(bridge.index, stale))
        for address in wanted:
            if address not in present:
                host.perform(netlink.add_address(bridge.index, address))
        self._forward(network)

    def _forward(self, network: Network) -> None:
        if network.internal:
            return
        if self._config.ip_forward:
            _set("ipv4/ip_forward", "1")
            if network.record.enable_ipv6:
                _set("ipv6/conf/all/forwarding", "1")
        if network.record.enable_ipv4:
            # Packets to published ports may come from the host's 127.0.0.1.
            _set(f"ipv4/conf/{network.bridge}/route_localnet", "1")

    def down(self, host: Netlink, network: Network) -> None:
        """Remove the bridge, or the addresses added to a foreign bridge; idempotent."""
        record = network.record
        bridge = host.link(record.interface) if record.interface else None
        if bridge is None:
            return
        if bridge.alias.startswith(interface_alias(self._config)):
            with contextlib.suppress(OSError):
                host.perform(netlink.delete_link(bridge.index))
        elif record.lends_address:
            there = {a.address for a in host.addresses(bridge.index)}
            for address in _addresses(network):
                if address in there:
                    host.perform(netlink.delete_address(bridge.index, address))

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Make a veth pair from the bridge into a namespace.

        Raises:
            InternalError: the bridge does not exist and can't be made again.
            OSError: the kernel refuses.
        """
        bridge = self._bridge(host, network)
        host.perform(
            netlink.add_veth(
                endpoint.host_interface,
                endpoint.interface,
                mtu=network.options.mtu or None,
                master=bridge.index,
                peer_mac=endpoint.mac_address,
                peer_netns=namespace,
            ),
        )
        if endpoint.hairpin:
            # With br_netfilter, the bridge sends packets of a container to its own published
            # port back to the bridge port from which they came.
            host.perform(netlink.set_bridge_port(endpoint.host_interface, hairpin=True))
        with contextlib.suppress(OSError):  # neighbours find out by themselves, some seconds later
            self._announce(host, bridge, endpoint)

    def _announce(self, host: Netlink, bridge: Link, endpoint: EndpointRecord) -> None:
        """Replace old ARP entries of the addresses, in the host and in neighbours on the bridge."""
        addresses = [ip_address(a) for a in (endpoint.address, endpoint.address6) if a]
        for address in addresses:
            with contextlib.suppress(OSError):  # it has no entry
                host.perform(netlink.delete_neighbor(bridge.index, address))
        if self._announcer is None:
            self._announcer = Announcer()
        self._announcer.announce(bridge.name, addresses, endpoint.mac_address)

    def _bridge(self, host: Netlink, network: Network) -> Link:
        bridge = host.link(network.bridge)
        if bridge is None and not network.record.foreign:
            # Another program has deleted it.
            self.up(host, network)
            bridge = host.link(network.bridge)
        if bridge is None:
            raise InternalError(f"the bridge {network.bridge} is gone")
        return bridge

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:  # noqa: ARG002 - of the protocol
        """Remove a veth pair, at the host's end; idempotent."""
        with Netlink() as host, contextlib.suppress(OSError):  # it has gone with its namespace
            host.perform(netlink.delete_link(endpoint.host_interface))


def _addresses(network: Network) -> Iterable[IPInterface]:
    """Yield the addresses that the bridge itself needs."""
    options = network.options
    gateway4, gateway6 = network.gateway4, network.gateway6
    if gateway4 and not options.inhibit_ipv4 and options.gateway_mode_ipv4 != "isolated":
        yield gateway4
    if gateway6 and options.gateway_mode_ipv6 != "isolated":
        yield gateway6


def _mac(addresses: Iterable[IPInterface]) -> str:
    packed = next((a.ip.packed for a in addresses if a.version == 4), secrets.token_bytes(4))
    return f"02:42:{packed.hex(':')}"


def _set(name: str, value: str) -> None:
    path = Path("/proc/sys/net") / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        # Read-only in some sandboxes, which set their own values; absent without IPv6.
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
            raise
