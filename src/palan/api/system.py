"""The system: the engine about itself, its events, its disk; credentials."""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._cluster import PeerNode, SwarmInfo
from palan.api._disk_usage import (
    BuildCache,
    BuildCacheDiskUsage,
    ContainersDiskUsage,
    DiskUsage,
    ImagesDiskUsage,
    SystemDataUsageResponse,
    VolumesDiskUsage,
)
from palan.api._events import EventActor, EventMessage
from palan.api._system_info import (
    AddressPool,
    Commit,
    ComponentVersion,
    ContainerdInfo,
    ContainerdNamespaces,
    DeviceInfo,
    FirewallInfo,
    IndexInfo,
    NRIInfo,
    PlatformName,
    PluginsInfo,
    RegistryServiceConfig,
    Runtime,
    SystemInfo,
    SystemVersion,
)
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import JSON_LINES, JSON_SEQUENCE, NDJSON, Json, Messages, Ping
from palan.api.version import Version


__all__ = [
    "AddressPool",
    "AuthConfig",
    "AuthResponse",
    "BuildCache",
    "BuildCacheDiskUsage",
    "Commit",
    "ComponentVersion",
    "ContainerdInfo",
    "ContainerdNamespaces",
    "ContainersDiskUsage",
    "DeviceInfo",
    "DiskUsage",
    "EventActor",
    "EventMessage",
    "FirewallInfo",
    "ImagesDiskUsage",
    "IndexInfo",
    "NRIInfo",
    "PeerNode",
    "PlatformName",
    "PluginsInfo",
    "RegistryServiceConfig",
    "Runtime",
    "SwarmInfo",
    "SystemAuth",
    "SystemDataUsageResponse",
    "SystemDiskUsage",
    "SystemEvents",
    "SystemGetInfo",
    "SystemGetVersion",
    "SystemInfo",
    "SystemOpenAPI",
    "SystemPing",
    "SystemPingHead",
    "SystemVersion",
    "VolumesDiskUsage",
    "group",
]

group = Group("system", "The engine about itself, its events, its disk.")


class AuthConfig(Message, rename="lower", omit_defaults=True):
    """Credentials for a registry; also what ``X-Registry-Auth`` carries."""

    username: str = ""
    password: str = ""
    auth: str = ""
    """``username:password`` in base64, instead of those two."""

    server_address: str = field(name="serveraddress", default="")
    identity_token: str = field(name="identitytoken", default="")
    """Instead of a password: what an earlier login answered."""

    registry_token: str = field(name="registrytoken", default="")
    """A bearer token, sent as it is."""

    def __repr__(self) -> str:
        # Without what must not come into a log or a traceback.
        return f"AuthConfig(username={self.username!r}, server_address={self.server_address!r})"


class AuthResponse(Message):
    """What came of a login."""

    status: str
    identity_token: str | Unset = UNSET
    """To be kept instead of the password."""

    def __repr__(self) -> str:
        return f"AuthResponse(status={self.status!r})"


@group.endpoint("GET", "/_ping", operation="ping", result=Ping())
class SystemPing(Request):
    """Say ``OK``; headers tell the versions and the state of the swarm."""


@group.endpoint("HEAD", "/_ping", operation="ping_head", result=Ping())
class SystemPingHead(Request):
    """Answer the headers of ping alone."""


@group.endpoint("GET", "/version", operation="version", result=Json(SystemVersion))
class SystemGetVersion(Request):
    """Tell the versions of the engine, its API and the machine."""


@group.endpoint("GET", "/info", operation="info", result=Json(SystemInfo))
class SystemGetInfo(Request):
    """Tell what the engine and the machine are and can do."""


@group.endpoint(
    "GET",
    "/events",
    operation="events",
    result=Messages(
        EventMessage,
        media_types=(JSON_LINES, NDJSON, JSON_SEQUENCE),
        media_types_since=Version(1, 52),
    ),
)
class SystemEvents(Request):
    """Tell what happens, and what has happened since some time.

    Filters: config, container, daemon, event, image, label, network, node, plugin,
    scope, secret, service, type, volume.
    """

    since: str = ""
    """Unix seconds, with a fraction if need be, or RFC 3339; empty is now."""

    until: str = ""
    """As ``since``; empty is for ever."""

    filters: Filters = field(default_factory=Filters)


@group.endpoint(
    "GET",
    "/system/df",
    operation="disk_usage",
    result=Json(SystemDataUsageResponse),
    since=Version(1, 25),
)
class SystemDiskUsage(Request):
    """Tell how much disk the engine's objects take."""

    type: list[str] = field(default_factory=list)
    """``container``, ``image``, ``volume``, ``build-cache``; none is all."""

    verbose: bool = False
    """List the objects in the summaries, and leave out the old lists."""


@group.endpoint("POST", "/auth", operation="auth", result=Json(AuthResponse), raises=(401,))
class SystemAuth(Request):
    """Check credentials with a registry."""

    body: AuthConfig


@group.endpoint("GET", "/openapi.json", operation="openapi", result=Json(dict[str, Any]))
class SystemOpenAPI(Request):
    """Describe this API, as an OpenAPI document (Palan's own)."""
