"""Plugins by name, each activated once."""

import asyncio
from typing import Final

from palan.plugins.client import PluginClient
from palan.plugins.discovery import Address, PluginPaths
from palan.plugins.failures import PluginFailure, PluginNotFound


__all__ = ["PluginRegistry"]

_PAUSE: Final = 0.5


class PluginRegistry:
    """The plugins of a machine, found when they are asked for."""

    def __init__(self, paths: PluginPaths) -> None:
        self.paths = paths
        self._active: dict[str, PluginClient] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, kind: str, *, patience: float = 0.0) -> PluginClient:
        """A plugin that is ready to be asked.

        Args:
            name: its name, which is that of its socket or file.
            kind: what it shall be, such as ``VolumeDriver``, ``NetworkDriver``, ``IpamDriver``.
            patience: seconds to wait for one that is not there yet, or does not listen yet.

        Raises:
            PluginNotFound: there is none of that name, or it is no ``kind``.
            PluginFailure: it can't be reached, or does not say what it is.
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
                # Looked up each time: it may have been installed anew at another address.
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
        """Every plugin of a kind that made itself known and answers."""

        async def one(name: str) -> PluginClient | None:
            try:
                return await self.get(name, kind)
            except PluginFailure:
                return None

        names = await asyncio.to_thread(self.paths.names)
        found = await asyncio.gather(*(one(name) for name in names))
        return [plugin for plugin in found if plugin is not None]
