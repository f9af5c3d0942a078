"""Network drivers by Docker's plugin protocol (``NetworkDriver``).

The plugin makes an interface in the host, and the engine moves it into the container and
gives it the addresses.  What the plugin keeps of networks and endpoints is its own; what it was
told of and nobody needs any more is written down as a claim first, and taken back at a start.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from palan.api.errors import InternalError
from palan.engine.containers.record import EndpointRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.host import netlink
from palan.host.netlink import Netlink
from palan.plugins import PluginFailure


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["RemoteDriver"]

_NOT_FOUND: Final = 404
_CONNECTED: Final = 1
"""The type of a static route to something that is directly reachable."""


class RemoteDriver:
    """One plugin.  All but :meth:`check` block, and are run in threads of a running loop."""

    wants_gateway = True

    def __init__(self, engine: "Engine", name: str) -> None:
        self.name = name
        self._engine = engine

    async def ask(self, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the plugin.

        Raises:
            InternalError: it is not there, or refuses.
        """
        try:
            plugin = await self._engine.drivers.get(self.name, "NetworkDriver")
            return await plugin.call(f"NetworkDriver.{method}", arguments)
        except PluginFailure as failure:
            raise InternalError(f"remote: {failure.message}") from failure

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        loop = self._engine.loop
        return asyncio.run_coroutine_threadsafe(self.ask(method, arguments), loop).result()

    # ---- networks -----------------------------------------------------------------

    def check(self, record: NetworkRecord, others: Iterable[Network]) -> None:
        """It is the plugin that will say what can't be."""

    def prepare(self, host: Netlink, network: Network) -> None:
        """There is nothing to look at."""

    def up(self, host: Netlink, network: Network) -> None:  # noqa: ARG002 - all drivers have it
        """Have the plugin make a new network; it remembers those that there are by itself.

        Raises:
            InternalError: the plugin refuses it.
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
        """Have the plugin remove a network.

        Raises:
            InternalError: the plugin refuses it.
        """
        self._ask("DeleteNetwork", {"NetworkID": network.id})

    # ---- endpoints ----------------------------------------------------------------

    def plug(
        self, host: Netlink, network: Network, endpoint: EndpointRecord, namespace: int
    ) -> None:
        """Have the plugin make an interface, and move it into a namespace.

        What the plugin decides of addresses, gateways and names is noted in the endpoint.

        Raises:
            InternalError: the plugin refuses it, or has made no interface.
            OSError: the kernel refuses it.
        """
        ids = {"NetworkID": network.id, "EndpointID": endpoint.id}
        interface = {
            "Address": _cidr(endpoint.address, endpoint.prefix),
            "AddressIPv6": _cidr(endpoint.address6, endpoint.prefix6),
            "MacAddress": endpoint.mac_address,
        }
        options = {**endpoint.options, **endpoint.plugin_options}
        created = self._ask("CreateEndpoint", {**ids, "Interface": interface, "Options": options})
        _take_interface(endpoint, created.get("Interface") or {})
        joined = self._ask(
            "Join", {**ids, "SandboxKey": endpoint.sandbox_key, "Options": endpoint.plugin_options}
        )
        endpoint.gateway = str(joined.get("Gateway") or "") or endpoint.gateway
        endpoint.gateway6 = str(joined.get("GatewayIPv6") or "") or endpoint.gateway6
        endpoint.routes = [
            (str(route["Destination"]), "" if route.get("RouteType") == _CONNECTED else hop)
            for route in joined.get("StaticRoutes") or ()
            if (hop := str(route.get("NextHop") or "")) or route.get("RouteType") == _CONNECTED
        ]
        self._move(host, endpoint, joined.get("InterfaceName") or {}, namespace)
        try:
            self._ask("ProgramExternalConnectivity", {**ids, "Options": endpoint.plugin_options})
        except InternalError as error:
            cause = error.__cause__
            if not (isinstance(cause, PluginFailure) and cause.status == _NOT_FOUND):
                raise

    def _move(
        self, host: Netlink, endpoint: EndpointRecord, names: Mapping[str, Any], namespace: int
    ) -> None:
        source = str(names.get("SrcName") or "")
        if not source:
            endpoint.interface = ""  # a plugin may have put everything in place by itself
            return
        link = host.link(source)
        if link is None:
            raise InternalError(f"remote: there is no interface {source}, which {self.name} named")
        prefix = str(names.get("DstPrefix") or "")
        number = endpoint.interface[len(endpoint.interface.rstrip("0123456789")) :]
        if prefix and number:
            endpoint.interface = f"{prefix}{number}"
        host.perform(netlink.set_link(link.index, up=False))
        host.perform(netlink.set_link(link.index, name=endpoint.interface, netns=namespace))
        if endpoint.mac_address and link.mac != endpoint.mac_address:
            with Netlink(namespace) as inside:
                inside.perform(netlink.set_link(endpoint.interface, mac=endpoint.mac_address))

    def unplug(self, namespace: str, endpoint: EndpointRecord) -> None:
        """Have the plugin take an endpoint back; idempotent."""
        with contextlib.suppress(OSError), Netlink(namespace) as inside:
            link = inside.link(endpoint.interface)
            if link is not None:
                inside.perform(netlink.delete_link(link.index))
        ids = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
        for method in ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
            try:
                self._ask(method, ids)
            except InternalError as error:
                # It may know nothing of it, or be gone: neither keeps a container from ending.
                self._engine.log.debug("plugin did not let go", method=method, reason=error.message)


def _cidr(address: str, prefix: int) -> str:
    return f"{address}/{prefix}" if address else ""


def _take_interface(endpoint: EndpointRecord, given: Mapping[str, Any]) -> None:
    """Note what the plugin has chosen; what was given to it, it leaves empty."""
    if address := str(given.get("Address") or ""):
        endpoint.address, _, prefix = address.partition("/")
        endpoint.prefix = int(prefix or 32)
    if address := str(given.get("AddressIPv6") or ""):
        endpoint.address6, _, prefix = address.partition("/")
        endpoint.prefix6 = int(prefix or 128)
    if mac := str(given.get("MacAddress") or ""):
        endpoint.mac_address = mac


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
