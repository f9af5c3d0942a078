"""Network drivers that are plugins, with Docker's protocol ``NetworkDriver``.

The plugin makes an interface in the host; the engine moves it into the container and gives it
the addresses.  Plugins keep their own state of networks and endpoints.  The engine saves each
endpoint as a lease (:mod:`leases`) before a plugin knows it, and deletes stray ones at start.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final, TypeVar

import msgspec

from palan.api.errors import InternalError
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host import netlink
from palan.host.interface_names import interface_problem
from palan.host.netlink import Netlink
from palan.plugins import PluginFailure, PluginRegistry


__all__ = ["RemoteDriver"]

_NOT_FOUND: Final = 404
_LOOPBACK: Final = 1
_MAC_ADDRESS: Final = "[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}"
_CONNECTED: Final = 1
"""The type of a static route to something that is directly reachable."""


T = TypeVar("T")


class RemoteDriver:
    """A plugin, which need not exist or answer.

    All methods but :meth:`check` and :meth:`ask` block: they run in threads beside the loop.
    """

    wants_gateway = True

    def __init__(
        self, name: str, plugins: PluginRegistry, loop: asyncio.AbstractEventLoop, log: Any
    ) -> None:
        self.name = name
        self._plugins = plugins
        self._loop = loop
        self._log = log

    async def ask(self, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a method of the plugin.

        Raises:
            InternalError: the plugin does not exist, or refuses.
        """
        try:
            plugin = await self._plugins.get(self.name, "NetworkDriver")
            return await plugin.call(f"NetworkDriver.{method}", arguments)
        except PluginFailure as failure:
            raise InternalError(f"remote: {failure.message}") from failure

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.ask(method, arguments)
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    # ---- networks -----------------------------------------------------------------

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """Accept every network: the plugin itself refuses what it does not support."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """Do nothing."""

    def up(self, host: Netlink, network: Network) -> None:  # noqa: ARG002 - all drivers have it
        """Create a new network in the plugin, which remembers existing ones by itself.

        Raises:
            InternalError: the plugin refuses.
        """
        record = network.record
        if not record.draft:
            return
        arguments = {
            "NetworkID": record.id,
            "Options": _network_options(record),
            "IPv4Data": _ipam_data(network, 4),
            "IPv6Data": _ipam_data(network, 6),
        }
        self._ask("CreateNetwork", arguments)

    def down(self, host: Netlink, network: Network) -> None:  # noqa: ARG002 - all drivers have it
        """Delete a network in the plugin.

        Raises:
            InternalError: the plugin refuses.
        """
        self._ask("DeleteNetwork", {"NetworkID": network.id})

    # ---- endpoints ----------------------------------------------------------------

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Let the plugin make an interface, and move it into a namespace.

        The addresses, gateways and names that the plugin chooses are entered in the endpoint.

        Raises:
            InternalError: the plugin refuses, or has made no interface.
            OSError: the kernel refuses.
        """
        ids = {"NetworkID": network.id, "EndpointID": endpoint.id}
        interface = {
            "Address": _cidr(endpoint.address, endpoint.prefix),
            "AddressIPv6": _cidr(endpoint.address6, endpoint.prefix6),
            "MacAddress": endpoint.mac_address,
        }
        options = {**endpoint.options, **endpoint.plugin_options}
        made = self._ask("CreateEndpoint", {**ids, "Interface": interface, "Options": options})
        _apply_interface(endpoint, self._read(made, _Created).interface)
        answer = self._ask(
            "Join", {**ids, "SandboxKey": endpoint.sandbox_key, "Options": endpoint.plugin_options}
        )
        joined = self._read(answer, _Joined)
        endpoint.gateway = joined.gateway or endpoint.gateway
        endpoint.gateway6 = joined.gateway6 or endpoint.gateway6
        endpoint.routes = [
            (route.destination, "" if route.kind == _CONNECTED else route.next_hop)
            for route in joined.static_routes or ()
            if route.next_hop or route.kind == _CONNECTED
        ]
        self._move(host, endpoint, joined.names or _Names(), namespace)
        try:
            self._ask("ProgramExternalConnectivity", {**ids, "Options": endpoint.plugin_options})
        except InternalError as error:
            cause = error.__cause__
            if not (isinstance(cause, PluginFailure) and cause.status == _NOT_FOUND):
                raise

    def _read(self, answer: Mapping[str, Any], kind: type[T]) -> T:
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise InternalError(f"remote: {self.name} answered nonsense: {error}") from None

    def _move(
        self, host: Netlink, endpoint: EndpointRecord, names: "_Names", namespace: int
    ) -> None:
        if not names.source:
            endpoint.interface = ""  # the plugin has set up everything by itself
            return
        link = host.link(names.source)
        if link is None or link.index == _LOOPBACK:
            raise InternalError(
                f"remote: there is no interface {names.source}, which {self.name} named"
            )
        number = endpoint.interface[len(endpoint.interface.rstrip("0123456789")) :]
        if names.prefix and number:
            endpoint.interface = f"{names.prefix}{number}"
        host.perform(netlink.set_link(link.index, up=False))
        host.perform(netlink.set_link(link.index, name=endpoint.interface, netns=namespace))
        if endpoint.mac_address and link.mac != endpoint.mac_address:
            with Netlink(namespace) as inside:
                inside.perform(netlink.set_link(endpoint.interface, mac=endpoint.mac_address))

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Remove the interface and delete the endpoint in the plugin; idempotent."""
        with contextlib.suppress(OSError), Netlink(namespace) as inside:
            link = inside.link(endpoint.interface)
            if link is not None:
                inside.perform(netlink.delete_link(link.index))
        ids = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
        for method in ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
            try:
                self._ask(method, ids)
            except InternalError as error:
                # The plugin may not know the endpoint, or not run: a container ends all the same.
                self._log.debug("plugin refused", method=method, reason=error.message)


def _cidr(address: str, prefix: int) -> str:
    return f"{address}/{prefix}" if address else ""


def _apply_interface(endpoint: EndpointRecord, given: "_Interface | None") -> None:
    """Enter the addresses that the plugin has chosen; it leaves those empty that it was given."""
    if given is None:
        return
    if given.address:
        interface = ip_interface(given.address)
        endpoint.address, endpoint.prefix = str(interface.ip), interface.network.prefixlen
    if given.address6:
        interface = ip_interface(given.address6)
        endpoint.address6, endpoint.prefix6 = str(interface.ip), interface.network.prefixlen
    endpoint.mac_address = given.mac_address or endpoint.mac_address


# ---- answers ------------------------------------------------------------------------


class _Interface(msgspec.Struct, rename="pascal"):
    """The addresses that a plugin has chosen; a ValueError here becomes a ValidationError."""

    address: str = ""
    address6: str = msgspec.field(name="AddressIPv6", default="")
    mac_address: str = ""

    def __post_init__(self) -> None:
        for text in filter(None, (self.address, self.address6)):
            ip_interface(text)
        if self.mac_address and not re.fullmatch(_MAC_ADDRESS, self.mac_address):
            raise ValueError(f"{self.mac_address!r} is no MAC address")


class _Created(msgspec.Struct):
    interface: _Interface | None = msgspec.field(name="Interface", default=None)


class _Names(msgspec.Struct):
    source: str = msgspec.field(name="SrcName", default="")
    prefix: str = msgspec.field(name="DstPrefix", default="")

    def __post_init__(self) -> None:
        for name in (self.source, f"{self.prefix}00"):
            if problem := interface_problem(name):
                raise ValueError(problem)


class _Route(msgspec.Struct):
    destination: str = msgspec.field(name="Destination")
    kind: int = msgspec.field(name="RouteType", default=0)
    next_hop: str = msgspec.field(name="NextHop", default="")

    def __post_init__(self) -> None:
        ip_network(self.destination)
        if self.next_hop:
            ip_address(self.next_hop)


class _Joined(msgspec.Struct):
    names: _Names | None = msgspec.field(name="InterfaceName", default=None)
    gateway: str = msgspec.field(name="Gateway", default="")
    gateway6: str = msgspec.field(name="GatewayIPv6", default="")
    static_routes: list[_Route] | None = msgspec.field(name="StaticRoutes", default=None)

    def __post_init__(self) -> None:
        for text in filter(None, (self.gateway, self.gateway6)):
            ip_address(text)


# ---- arguments ----------------------------------------------------------------------


def _network_options(record: NetworkRecord) -> dict[str, Any]:
    options: dict[str, Any] = {
        "com.docker.network.enable_ipv4": record.enable_ipv4,
        "com.docker.network.enable_ipv6": record.enable_ipv6,
        "com.docker.network.generic": record.options,
    }
    if record.internal:
        options["com.docker.network.internal"] = True
    return options


def _ipam_data(network: Network, version: int) -> list[dict[str, Any]]:
    if subnet := network.record.null_pools.get(version):
        return [{"AddressSpace": "null", "Pool": subnet, "Gateway": "", "AuxAddresses": {}}]
    return [
        {
            "AddressSpace": "LocalDefault",
            "Pool": str(pool.subnet),
            "Gateway": str(pool.gateway) if pool.gateway else "",
            "AuxAddresses": {
                name: f"{address}/{pool.subnet.prefixlen}"
                for name, address in pool.auxiliary.items()
            },
        }
        for pool in network.pools_of(version)
    ]
