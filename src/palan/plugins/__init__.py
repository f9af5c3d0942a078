"""Client for Docker's plugins: external programs that provide volumes, networks and addresses.

In Docker's plugin protocol (version 1) a plugin listens on a socket, names in its answer to
``/Plugin.Activate`` the drivers that it implements, and then receives ``POST`` requests such as
``/VolumeDriver.Mount`` with JSON in both directions. This package finds plugins and sends
requests; the callers decide what to send.

    plugin = await registry.get("name", "VolumeDriver")
    answer = await plugin.call("VolumeDriver.Path", {"Name": "data"})
"""

from palan.plugins.client import PluginClient
from palan.plugins.discovery import PluginPaths
from palan.plugins.failures import PluginFailure, PluginNotFound, PluginUnreachable
from palan.plugins.registry import PluginRegistry


__all__ = [
    "PluginClient",
    "PluginFailure",
    "PluginNotFound",
    "PluginPaths",
    "PluginRegistry",
    "PluginUnreachable",
]
