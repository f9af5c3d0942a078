"""``engine.plugins``."""

from palan.api.plugins import Plugin, PluginList


__all__ = ["Plugins"]


class Plugins:
    """The plugins of an engine.

    None can be installed yet, so the list, with which many tools begin, is empty.
    """

    async def list(self, request: PluginList) -> list[Plugin]:
        """``GET /plugins``."""
        request.filters.accept("capability", "enabled")
        if "enabled" in request.filters:
            request.filters.boolean("enabled", default=True)
        return []
