"""The room ``engine.plugins``."""

from palan.api.errors import NotFound
from palan.api.plugins import Plugin, PluginInspect, PluginList


__all__ = ["Plugins"]


class Plugins:
    """The plugins of an engine.

    No plugin can be installed yet, so the list is empty.  ``inspect`` must answer 404:
    ``docker inspect`` asks for a plugin last, and shows any other answer as an error
    instead of "no such object".
    """

    async def list(self, request: PluginList) -> list[Plugin]:
        """``GET /plugins``."""
        if "enabled" in request.filters:
            request.filters.boolean("enabled", default=True)
        return []

    async def inspect(self, request: PluginInspect) -> Plugin:
        """``GET /plugins/{name}/json``."""
        raise NotFound(f'plugin "{request.name}" not found')
