"""Plugins: programs of other people that provide volumes, networks and addresses.

Docker's plugin protocol (version 1): a plugin listens at a socket, says in
``/Plugin.Activate`` what it implements, and is then asked by ``POST`` with JSON both
ways, such as ``/VolumeDriver.Mount``.  This room finds plugins and talks to them; what
is to be said is up to whoever uses them.

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
