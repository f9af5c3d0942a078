"""Networks of containers."""

from typing import Annotated

from msgspec import field

from palan.api._base import Request
from palan.api._network_messages import (
    ConfigReference,
    EndpointResource,
    IPAMStatus,
    Network,
    NetworkConnectRequest,
    NetworkCreateRequest,
    NetworkCreateResponse,
    NetworkDisconnectRequest,
    NetworkInspectResponse,
    NetworkPruneResponse,
    NetworkStatus,
    NetworkSummary,
    NetworkTaskInfo,
    PeerInfo,
    ServiceInfo,
    SubnetStatus,
)
from palan.api._network_types import (
    IPAM,
    EndpointIPAMConfig,
    EndpointSettings,
    IPAMConfig,
    NetworkingConfig,
)
from palan.api.annotations import LABEL, NOT_LABEL, UNTIL, Body, Filter, FilterSet, StrictBoolean
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import NO_CONTENT, Json, NoContent
from palan.api.version import Version


__all__ = [
    "IPAM",
    "ConfigReference",
    "EndpointIPAMConfig",
    "EndpointResource",
    "EndpointSettings",
    "IPAMConfig",
    "IPAMStatus",
    "Network",
    "NetworkConnect",
    "NetworkConnectRequest",
    "NetworkCreate",
    "NetworkCreateRequest",
    "NetworkCreateResponse",
    "NetworkDisconnect",
    "NetworkDisconnectRequest",
    "NetworkInspect",
    "NetworkInspectResponse",
    "NetworkList",
    "NetworkPrune",
    "NetworkPruneResponse",
    "NetworkRemove",
    "NetworkStatus",
    "NetworkSummary",
    "NetworkTaskInfo",
    "NetworkingConfig",
    "PeerInfo",
    "ServiceInfo",
    "SubnetStatus",
    "group",
]

group = Group("networks", "Networks that connect containers.")


@group.endpoint("GET", "/networks", operation="list", result=Json(list[NetworkSummary]))
class NetworkList(Request):
    """List networks."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter(
                "type",
                "Whether the engine made it.",
                values=("builtin", "custom"),
                error="invalid filter: '{name}'='{value}'",
            ),
            Filter("dangling", "Whether no container is connected to it.", boolean=True),
            Filter("driver", "The name of the driver."),
            Filter("id", "A regular expression that matches a part of the id."),
            LABEL,
            Filter("name", "A regular expression that matches a part of the name."),
            Filter("scope", "``local``, ``swarm`` or ``global``."),
        ),
    ] = field(default_factory=Filters)
    containers: bool = False
    """Include the containers of each network, as always below 1.28."""


@group.endpoint(
    "GET",
    "/networks/{id...}",
    operation="inspect",
    result=Json(NetworkInspectResponse),
    raises=(404,),
)
class NetworkInspect(Request):
    """Return detailed information about a network."""

    id: str
    verbose: Annotated[bool, StrictBoolean()] = False
    """Include services and their tasks."""

    scope: str = ""
    """The scope of the network; any by default."""


@group.endpoint(
    "POST",
    "/networks/create",
    operation="create",
    result=Json(NetworkCreateResponse, status=201),
    raises=(403, 404, 409),
)
class NetworkCreate(Request):
    """Create a network."""

    body: Annotated[NetworkCreateRequest, Body(struct="CreateRequest")] = field(
        default_factory=NetworkCreateRequest
    )


@group.endpoint(
    "POST",
    "/networks/{id...}/connect",
    operation="connect",
    result=NoContent(status=200),
    raises=(403, 404, 409),
)
class NetworkConnect(Request):
    """Connect a container to a network."""

    id: str
    body: NetworkConnectRequest = field(default_factory=NetworkConnectRequest)


@group.endpoint(
    "POST",
    "/networks/{id...}/disconnect",
    operation="disconnect",
    result=NoContent(status=200),
    raises=(403, 404),
)
class NetworkDisconnect(Request):
    """Disconnect a container from a network."""

    id: str
    body: NetworkDisconnectRequest = field(default_factory=NetworkDisconnectRequest)


@group.endpoint(
    "DELETE", "/networks/{id...}", operation="remove", result=NO_CONTENT, raises=(403, 404, 409)
)
class NetworkRemove(Request):
    """Remove a network without running containers."""

    id: str


@group.endpoint(
    "POST",
    "/networks/prune",
    operation="prune",
    result=Json(NetworkPruneResponse),
    raises=(409,),
    since=Version(1, 25),
    slow=True,
)
class NetworkPrune(Request):
    """Remove all networks without containers."""

    filters: Annotated[
        Filters,
        FilterSet(
            LABEL,
            NOT_LABEL,
            UNTIL,
        ),
    ] = field(default_factory=Filters)
