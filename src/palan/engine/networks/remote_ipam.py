"""Address management by Docker's plugin protocol (``IpamDriver``), and by nobody (``null``).

The plugin gives subnets and addresses.  Addresses that it has given are written down as
claims until it has them back, so that none is lost with a container that a crash kept from
starting.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Final

from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.networks import IPAMConfig
from palan.engine.networks.ipam import AddressPool, IPAddress
from palan.engine.networks.network import Network
from palan.engine.networks.record import PoolRecord
from palan.plugins import PluginFailure, PluginNotFound


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["BUILT_IN", "RemoteIpam", "is_remote"]

BUILT_IN: Final = ("default", "null")
_ABSENT: Final = 404
_TYPE: Final = "RequestAddressType"
_GATEWAY: Final = "com.docker.network.gateway"


def is_remote(network: Network) -> bool:
    """Whether a plugin gives the addresses of a network."""
    return network.record.ipam_driver not in BUILT_IN


class RemoteIpam:
    """One plugin."""

    def __init__(self, engine: "Engine", name: str) -> None:
        self._engine = engine
        self.name = name

    async def _ask(self, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            plugin = await self._engine.drivers.get(self.name, "IpamDriver")
            return await plugin.call(f"IpamDriver.{method}", arguments)
        except PluginNotFound as failure:
            raise NotFound(failure.message) from None
        except PluginFailure as failure:
            raise InternalError(f"remote: {failure.message}") from failure

    # ---- subnets ------------------------------------------------------------------

    async def request_pools(
        self, network: Network, asked: Iterable[IPAMConfig], *, wants_gateway: bool
    ) -> None:
        """Have a new network be given its subnets, those that were asked for or others.

        Raises:
            NotFound: there is no such plugin.
            InternalError: it refuses; it has everything back then.
        """
        spaces = await self._ask("GetDefaultAddressSpaces")
        space = str(spaces.get("LocalDefaultAddressSpace") or "")
        record = network.record
        asked = list(asked)
        try:
            for version, enabled in ((4, record.enable_ipv4), (6, record.enable_ipv6)):
                if not enabled:
                    continue
                wanted = [c for c in asked if (":" in c.subnet) is (version == 6) and c.subnet]
                for config in wanted or [IPAMConfig()]:
                    pool = await self._request_pool(network, space, config, version)
                    await self._request_own(network, pool, config, wants_gateway=wants_gateway)
        except BaseException:
            await self.release_pools(network)
            raise

    async def _request_pool(
        self, network: Network, space: str, config: IPAMConfig, version: int
    ) -> PoolRecord:
        answer = await self._ask(
            "RequestPool",
            {
                "AddressSpace": space,
                "Pool": config.subnet,
                "SubPool": config.ip_range,
                "Options": network.record.ipam_options or {},
                "V6": version == 6,
            },
        )
        try:
            subnet = ip_network(str(answer.get("Pool")), strict=False)
        except ValueError:
            raise InternalError(f"remote: {self.name} gave no subnet: {answer}") from None
        pool = AddressPool(subnet)
        pool.identifier = str(answer.get("PoolID") or "")
        network.pools.append(pool)
        kept = PoolRecord(subnet=str(subnet), range=config.ip_range, identifier=pool.identifier)
        network.record.pools.append(kept)
        data = answer.get("Data")
        given = str(data.get(_GATEWAY) or "") if isinstance(data, dict) else ""
        if given and not config.gateway:
            try:
                kept.gateway = str(ip_interface(given).ip)
            except ValueError:
                raise InternalError(f"remote: {self.name} gave no gateway: {answer}") from None
            pool.gateway = ip_interface(f"{kept.gateway}/{subnet.prefixlen}")
        return kept

    async def _request_own(
        self, network: Network, kept: PoolRecord, config: IPAMConfig, *, wants_gateway: bool
    ) -> None:
        """Take the gateway's and the auxiliary addresses."""
        pool = network.pools[-1]
        if pool.gateway is None and (config.gateway or wants_gateway):
            found = await self._request(kept.identifier, config.gateway, {_TYPE: _GATEWAY})
            kept.gateway = str(found)
            pool.gateway = ip_interface(f"{found}/{pool.subnet.prefixlen}")
        for name, text in (config.auxiliary_addresses or {}).items():
            kept.auxiliary[name] = str(await self._request(kept.identifier, text, {}))
            pool.auxiliary[name] = ip_address(text)

    async def release_pools(self, network: Network) -> None:
        """Give everything back; what the plugin does not take is only written to the log."""
        for kept in network.record.pools:
            for text in (kept.gateway, *kept.auxiliary.values()):
                if text:
                    await self.release(kept.identifier, text)
            try:
                await self._ask("ReleasePool", {"PoolID": kept.identifier})
            except (InternalError, NotFound) as error:
                self._engine.log.warning("subnet not taken back", reason=error.message)

    async def replay(self, network: Network, addresses: Iterable[tuple[str, str]]) -> None:
        """After a start of the engine, tell a plugin that forgets what it has given.

        Args:
            network: the network.
            addresses: what containers have: of which pool, and which.

        Raises:
            InternalError, NotFound: it is not there, or refuses.
        """
        try:
            if not (await self._ask("GetCapabilities")).get("RequiresRequestReplay"):
                return
        except InternalError as error:
            if isinstance(error.__cause__, PluginFailure) and error.__cause__.status == _ABSENT:
                return  # it is not mandatory to have capabilities
            raise
        spaces = await self._ask("GetDefaultAddressSpaces")
        for kept in network.record.pools:
            await self._ask(
                "RequestPool",
                {
                    "AddressSpace": str(spaces.get("LocalDefaultAddressSpace") or ""),
                    "Pool": kept.subnet,
                    "SubPool": kept.range,
                    "Options": network.record.ipam_options or {},
                    "V6": ":" in kept.subnet,
                },
            )
            if kept.gateway:
                await self._request(kept.identifier, kept.gateway, {_TYPE: _GATEWAY})
            for text in kept.auxiliary.values():
                await self._request(kept.identifier, text, {})
        for pool, address in addresses:
            await self._request(pool, address, {})

    # ---- addresses ----------------------------------------------------------------

    async def request(
        self, network: Network, version: int, asked: str, options: Mapping[str, str]
    ) -> tuple[AddressPool, IPAddress]:
        """An address of a network.

        Raises:
            InvalidParameter: the one that was asked for is none of the network's.
            InternalError: there is none.
        """
        failure: InternalError | None = None
        for pool in network.pools_of(version):
            if asked and ip_address(asked) not in pool.subnet:
                continue
            try:
                return pool, await self._request(pool.identifier, asked, options)
            except InternalError as error:
                failure = error
        if failure is not None:
            raise failure
        raise InvalidParameter(
            f"invalid address {asked}: It does not belong to any of this network's subnets"
        )

    async def _request(self, pool: str, asked: str, options: Mapping[str, str]) -> IPAddress:
        arguments = {"PoolID": pool, "Address": asked, "Options": dict(options)}
        answer = await self._ask("RequestAddress", arguments)
        try:
            return ip_interface(str(answer.get("Address"))).ip
        except ValueError:
            raise InternalError(f"remote: {self.name} gave no address: {answer}") from None

    async def release(self, pool: str, address: str) -> None:
        """Give an address back; what the plugin does not take is only written to the log."""
        try:
            await self._ask("ReleaseAddress", {"PoolID": pool, "Address": address})
        except (InternalError, NotFound) as error:
            self._engine.log.warning("address not taken back", reason=error.message)
