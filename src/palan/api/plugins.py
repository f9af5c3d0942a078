"""Managed plugins (``/plugins``), which run in containers."""

from typing import Annotated

from msgspec import field

from palan.api._base import Request
from palan.api._plugin_types import (
    Plugin,
    PluginArgs,
    PluginConfig,
    PluginDevice,
    PluginEnv,
    PluginInterface,
    PluginLinux,
    PluginMount,
    PluginNetwork,
    PluginPrivilege,
    PluginRootFS,
    PluginSettings,
    PluginUser,
)
from palan.api._progress import JSONMessage
from palan.api.annotations import Filter, FilterSet
from palan.api.auth import RegistryAuth
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import NO_CONTENT, ByteSource, Json, Messages, NoContent
from palan.api.version import Version


__all__ = [
    "Plugin",
    "PluginArgs",
    "PluginConfig",
    "PluginCreate",
    "PluginDevice",
    "PluginDisable",
    "PluginEnable",
    "PluginEnv",
    "PluginInspect",
    "PluginInterface",
    "PluginLinux",
    "PluginList",
    "PluginMount",
    "PluginNetwork",
    "PluginPrivilege",
    "PluginPrivileges",
    "PluginPull",
    "PluginPush",
    "PluginRemove",
    "PluginRootFS",
    "PluginSet",
    "PluginSettings",
    "PluginUpgrade",
    "PluginUser",
    "group",
]

group = Group("plugins", "Managed plugins: drivers that run in containers.")


@group.endpoint("GET", "/plugins", operation="list", result=Json(list[Plugin]))
class PluginList(Request):
    """List installed plugins."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("capability", "A capability, such as ``volumedriver``."),
            Filter("enabled", "Whether it is enabled.", boolean=True),
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "GET", "/plugins/privileges", operation="privileges", result=Json(list[PluginPrivilege])
)
class PluginPrivileges(Request):
    """Return the privileges that a plugin requires, before it is installed."""

    remote: str
    """The reference of the plugin in its registry."""

    registry_auth: RegistryAuth = None


@group.endpoint(
    "POST", "/plugins/pull", operation="pull", result=Messages(JSONMessage), raises=(404, 409)
)
class PluginPull(Request):
    """Install a plugin from a registry without enabling it."""

    remote: str
    """The reference of the plugin in its registry."""

    name: str = ""
    """The local name; ``remote`` by default."""

    body: list[PluginPrivilege] = field(default_factory=list)
    """The granted privileges, which must be all that the plugin requires."""

    registry_auth: RegistryAuth = None


@group.endpoint(
    "GET", "/plugins/{name...}/json", operation="inspect", result=Json(Plugin), raises=(404,)
)
class PluginInspect(Request):
    """Inspect a plugin."""

    name: str


@group.endpoint(
    "DELETE",
    "/plugins/{name...}",
    operation="remove",
    result=NoContent(200),
    raises=(404, 409),
    slow=True,
)
class PluginRemove(Request):
    """Remove a plugin."""

    name: str
    force: bool = False
    """Remove the plugin even if it is enabled."""


@group.endpoint(
    "POST",
    "/plugins/{name...}/enable",
    operation="enable",
    result=NoContent(200),
    raises=(404, 409),
    slow=True,
)
class PluginEnable(Request):
    """Enable a plugin."""

    name: str
    timeout: int
    """Seconds to wait for the plugin's socket; required, 0 is the engine's default."""


@group.endpoint(
    "POST",
    "/plugins/{name...}/disable",
    operation="disable",
    result=NoContent(200),
    raises=(404, 409),
)
class PluginDisable(Request):
    """Disable a plugin."""

    name: str
    force: bool = False
    """Disable the plugin even if it is in use."""


@group.endpoint(
    "POST",
    "/plugins/{name...}/upgrade",
    operation="upgrade",
    result=Messages(JSONMessage),
    raises=(404, 409),
    since=Version(1, 26),
)
class PluginUpgrade(Request):
    """Replace a disabled plugin by another version, with the same settings."""

    name: str
    remote: str
    """The reference of the new version in its registry."""

    body: list[PluginPrivilege] = field(default_factory=list)
    """The granted privileges, which must be all that the plugin requires."""

    registry_auth: RegistryAuth = None


@group.endpoint(
    "POST", "/plugins/create", operation="create", result=NO_CONTENT, raises=(409,), slow=True
)
class PluginCreate(Request):
    """Create a plugin from a tar archive of its ``config.json`` and ``rootfs``."""

    name: str
    body: ByteSource


@group.endpoint(
    "POST",
    "/plugins/{name...}/push",
    operation="push",
    result=Messages(JSONMessage),
    raises=(404,),
)
class PluginPush(Request):
    """Push a plugin to its registry."""

    name: str
    registry_auth: RegistryAuth = None


@group.endpoint("POST", "/plugins/{name...}/set", operation="set", result=NO_CONTENT, raises=(404,))
class PluginSet(Request):
    """Change a disabled plugin's settings."""

    name: str
    body: list[str] = field(default_factory=list)
    """Settings: ``NAME=value`` for a variable, ``name.field=value`` for a mount or a device."""
