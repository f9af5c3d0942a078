"""Address management by plugins, with Docker's protocol ``IpamDriver``.

The plugin gives subnets and addresses.  The addresses that it has given to endpoints are saved
as leases (:mod:`leases`), so that a crash does not lose any.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final

from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.networks import IPAMConfig
from palan.engine.networks.ipam import AddressPool, IPAddress
from palan.engine.networks.network import Network
from palan.engine.networks.record import PoolRecord
from palan.plugins import PluginFailure, PluginNotFound, PluginRegistry


__all__ = ["BUILT_IN", "RemoteIpam", "is_remote"]

BUILT_IN: Final = ("default", "null")
_ABSENT: Final = 404
_TYPE: Final = "RequestAddressType"
_GATEWAY: Final = "com.docker.network.gateway"


def is_remote(network: Network) -> bool:
    """Return whether a plugin gives the addresses of a network."""
    return network.record.ipam_driver not in BUILT_IN


class RemoteIpam:
    """An IPAM plugin, which need not exist or answer."""

    def __init__(self, name: str, plugins: PluginRegistry, log: Any) -> None:
        self.name = name
        self._plugins = plugins
        self._log = log

    async def _ask(self, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            plugin = await self._plugins.get(self.name, "IpamDriver")
            return await plugin.call(f"IpamDriver.{method}", arguments)
        except PluginNotFound as failure:
            raise NotFound(failure.message) from None
        except PluginFailure as failure:
            raise InternalError(f"remote: {failure.message}") from failure

    # ---- subnets ------------------------------------------------------------------

    async def request_pools(
        self, network: Network, asked: Iterable[IPAMConfig], *, wants_gateway: bool
    ) -> None:
        """Request the subnets of a new network, those that were asked for or others.

        Raises:
            NotFound: the plugin does not exist.
            InternalError: it refuses; nothing stays reserved then.
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
        """Request the gateway's and the auxiliary addresses."""
        pool = network.pools[-1]
        if pool.gateway is None and (config.gateway or wants_gateway):
            found = await self._request(kept.identifier, config.gateway, {_TYPE: _GATEWAY})
            kept.gateway = str(found)
            pool.gateway = ip_interface(f"{found}/{pool.subnet.prefixlen}")
        for name, text in (config.auxiliary_addresses or {}).items():
            kept.auxiliary[name] = str(await self._request(kept.identifier, text, {}))
            pool.auxiliary[name] = ip_address(text)

    async def release_pools(self, network: Network) -> None:
        """Release all subnets and their fixed addresses; failures are only logged."""
        for kept in network.record.pools:
            for text in (kept.gateway, *kept.auxiliary.values()):
                if text:
                    await self.release(kept.identifier, text)
            try:
                await self._ask("ReleasePool", {"PoolID": kept.identifier})
            except (InternalError, NotFound) as error:
                self._log.warning("subnet not released", reason=error.message)

    async def replay(self, network: Network, addresses: Iterable[tuple[str, str]]) -> None:
        """Request everything again if the plugin wants that after a start of the engine.

        Args:
            network: the network.
            addresses: the containers' addresses, as pairs of a pool's id and an address.

        Raises:
            InternalError, NotFound: the plugin refuses, or does not exist.
        """
        try:
            if not (await self._ask("GetCapabilities")).get("RequiresRequestReplay"):
                return
        except InternalError as error:
            if isinstance(error.__cause__, PluginFailure) and error.__cause__.status == _ABSENT:
                return  # the method is optional
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
        """Request an address of a network.

        Args:
            network: the network.
            version: the version of IP.
            asked: the address asked for; empty for any.
            options: options for the plugin.

        Raises:
            InvalidParameter: the address asked for does not belong to the network.
            InternalError: the plugin refuses.
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
        """Release an address; a failure is only logged."""
        try:
            await self._ask("ReleaseAddress", {"PoolID": pool, "Address": address})
        except (InternalError, NotFound) as error:
            self._log.warning("address not released", reason=error.message)
