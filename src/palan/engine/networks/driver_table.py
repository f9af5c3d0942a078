"""The network drivers of an engine by name: those of its own, and plugins."""

from collections.abc import Iterable
from typing import Final

from palan.api.errors import InternalError, NotFound
from palan.engine.networks.bridge import BridgeDriver
from palan.engine.networks.drivers import Driver
from palan.engine.networks.network import Network
from palan.engine.networks.null_driver import NullDriver
from palan.engine.networks.remote_driver import RemoteDriver
from palan.engine.networks.surroundings import Surroundings
from palan.engine.networks.vlan import IpvlanDriver, MacvlanDriver
from palan.plugins import PluginFailure, PluginNotFound


__all__ = ["DriverTable"]

_PLUGIN_KIND: Final = "NetworkDriver"


class DriverTable:
    """The network drivers of an engine."""

    def __init__(self, surroundings: Surroundings, networks: Iterable[Network]) -> None:
        """Make the built-in drivers.

        Args:
            surroundings: the engine.
            networks: all networks, as they are at each moment.
        """
        self._surroundings = surroundings
        config = surroundings.config
        self._built_in: dict[str, Driver] = {
            driver.name: driver
            for driver in (
                BridgeDriver(config),
                MacvlanDriver(config, networks),
                IpvlanDriver(config, networks),
                NullDriver("host"),
                NullDriver("null"),
            )
        }

    @property
    def names(self) -> list[str]:
        """The names of the built-in drivers, in alphabetical order."""
        return sorted(self._built_in)

    def get(self, name: str) -> Driver:
        """Return the driver of that name; a plugin need not exist or answer."""
        return self._built_in.get(name) or self.remote(name)

    def remote(self, name: str) -> RemoteDriver:
        """Return the driver that asks the plugin of that name, which need not exist."""
        surroundings = self._surroundings
        return RemoteDriver(name, surroundings.drivers, surroundings.loop, surroundings.log)

    async def find(self, name: str) -> Driver:
        """Return the driver of that name.

        Raises:
            NotFound: there is no such driver; in dockerd's words.
            InternalError: the plugin exists and does not answer.
        """
        if name not in self._built_in:
            try:
                await self._surroundings.drivers.get(name, _PLUGIN_KIND)
            except PluginNotFound as failure:
                raise NotFound(failure.message) from None
            except PluginFailure as failure:
                raise InternalError(failure.message) from None
        return self.get(name)
