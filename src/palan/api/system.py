"""Information about the engine, its events and its disk usage; logins to registries."""

from typing import Annotated, Any

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
from palan.api.annotations import LABEL, Body, Filter, FilterSet
from palan.api.auth import AuthConfig
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

group = Group("system", "Information about the engine, its events and its disk usage.")


class AuthResponse(Message):
    """The result of a login."""

    status: str
    identity_token: str | Unset = UNSET
    """A token to use instead of the password."""

    def __repr__(self) -> str:
        return f"AuthResponse(status={self.status!r})"


@group.endpoint("GET", "/_ping", operation="ping", result=Ping())
class SystemPing(Request):
    """Return ``OK``, with headers for the versions and the state of the swarm."""


@group.endpoint("HEAD", "/_ping", operation="ping_head", result=Ping())
class SystemPingHead(Request):
    """Return only the headers of ping."""


@group.endpoint("GET", "/version", operation="version", result=Json(SystemVersion))
class SystemGetVersion(Request):
    """Return the versions of the engine, its API and the machine."""


@group.endpoint("GET", "/info", operation="info", result=Json(SystemInfo))
class SystemGetInfo(Request):
    """Return information about the engine and the machine."""


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
    """Stream events as they happen, and those since a given time."""

    since: str = ""
    """The time of the first event: Unix seconds with an optional fraction, or RFC 3339; now by
    default."""

    until: str = ""
    """The time of the last event, in the same formats; unlimited by default."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("config", "Name or id of a config."),
            Filter("container", "Name or id of a container, or its beginning."),
            Filter("daemon", "Name or id of the engine."),
            Filter("event", "The action, such as ``create`` or ``exec_start``."),
            Filter("image", "Name or id of an image, or the image of a container."),
            LABEL,
            Filter("network", "Name or id of a network."),
            Filter("node", "Name or id of a node."),
            Filter("plugin", "Name or id of a plugin."),
            Filter("scope", "``local`` or ``swarm``."),
            Filter("secret", "Name or id of a secret."),
            Filter("service", "Name or id of a service."),
            Filter("type", "The kind of object, such as ``container`` or ``image``."),
            Filter("volume", "Name of a volume."),
            ignores_unknown=True,
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "GET",
    "/system/df",
    operation="disk_usage",
    result=Json(SystemDataUsageResponse),
    since=Version(1, 25),
)
class SystemDiskUsage(Request):
    """Return the disk usage of the engine's objects."""

    type: list[str] = field(default_factory=list)
    """``container``, ``image``, ``volume``, ``build-cache``; all by default."""

    verbose: bool = False
    """Include the objects in the summaries, and omit the old lists."""


@group.endpoint("POST", "/auth", operation="auth", result=Json(AuthResponse), raises=(401,))
class SystemAuth(Request):
    """Check credentials with a registry."""

    body: Annotated[AuthConfig, Body(needed=True, error_prefix="invalid X-Registry-Auth header: ")]


@group.endpoint("GET", "/openapi.json", operation="openapi", result=Json(dict[str, Any]))
class SystemOpenAPI(Request):
    """Return the description of this API as an OpenAPI document (only Palan)."""
