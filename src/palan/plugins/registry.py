"""The plugins of the machine by name; each is activated once."""

import asyncio
from typing import Final

from palan.plugins.client import PluginClient
from palan.plugins.discovery import Address, PluginPaths
from palan.plugins.failures import PluginFailure, PluginNotFound


__all__ = ["PluginRegistry"]

_PAUSE: Final = 0.5


class PluginRegistry:
    """Finds plugins when they are first requested, and keeps their clients."""

    def __init__(self, paths: PluginPaths) -> None:
        self.paths = paths
        self._active: dict[str, PluginClient] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, kind: str, *, patience: float = 0.0) -> PluginClient:
        """Return a plugin after it has been activated.

        Args:
            name: the name of its socket or file, without the suffix.
            kind: the driver that it has to implement: ``VolumeDriver``, ``NetworkDriver`` or
                ``IpamDriver``.
            patience: seconds to wait for a plugin that does not exist or listen yet.

        Raises:
            PluginNotFound: no such plugin, or it does not implement ``kind``.
            PluginFailure: it cannot be reached, or does not answer the activation properly.
        """
        plugin = await self._get(name, patience)
        if kind not in plugin.implements:
            raise PluginNotFound(
                "Plugin does not implement the requested driver:"
                f' plugin="{name}", requested implementation="{kind}"'
            )
        return plugin

    async def _get(self, name: str, patience: float) -> PluginClient:
        async with self._locks.setdefault(name, asyncio.Lock()):
            try:
                # Find it each time: it may have been reinstalled at another address.
                address = await self._find(name, patience)
            except PluginNotFound:
                self._active.pop(name, None)
                del self._locks[name]
                raise
            plugin = self._active.get(name)
            if plugin is None or plugin.address != address:
                plugin = PluginClient(name, address)
                answer = await plugin.call("Plugin.Activate", patience=patience)
                kinds = answer.get("Implements") or ()
                plugin.implements = frozenset(str(kind) for kind in kinds)
                self._active[name] = plugin
            return plugin

    async def _find(self, name: str, patience: float) -> Address:
        waited = 0.0
        while True:
            try:
                return self.paths.find(name)
            except PluginNotFound:
                if waited >= patience:
                    raise
            await asyncio.sleep(_PAUSE)
            waited += _PAUSE

    async def all(self, kind: str) -> list[PluginClient]:
        """Return every plugin of a kind that answers."""

        async def one(name: str) -> PluginClient | None:
            try:
                return await self.get(name, kind)
            except PluginFailure:
                return None

        names = await asyncio.to_thread(self.paths.names)
        found = await asyncio.gather(*(one(name) for name in names))
        return [plugin for plugin in found if plugin is not None]
