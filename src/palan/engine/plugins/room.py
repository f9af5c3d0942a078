"""``engine.plugins``."""

from palan.api.errors import NotFound
from palan.api.plugins import Plugin, PluginInspect, PluginList


__all__ = ["Plugins"]


class Plugins:
    """The plugins of an engine.

    None can be installed yet, so the list, with which many tools begin, is empty.
    ``docker inspect`` asks for a plugin of that name last, and reports any answer but a
    404 instead of saying that there is no such object.
    """

    async def list(self, request: PluginList) -> list[Plugin]:
        """``GET /plugins``."""
        request.filters.accept("capability", "enabled")
        if "enabled" in request.filters:
            request.filters.boolean("enabled", default=True)
        return []

    async def inspect(self, request: PluginInspect) -> Plugin:
        """``GET /plugins/{name}/json``."""
        raise NotFound(f'plugin "{request.name}" not found')
