"""The swarm: creating, joining, leaving and locking it (``/swarm``)."""

from typing import Annotated, Final

from msgspec import field

from palan.api._base import Message, Request
from palan.api._cluster import (
    CAConfig,
    ClusterInfo,
    DispatcherConfig,
    EncryptionConfig,
    ExternalCA,
    JoinTokens,
    OrchestrationConfig,
    PeerNode,
    RaftConfig,
    Swarm,
    SwarmInfo,
    SwarmSpec,
    TaskDefaults,
)
from palan.api.annotations import StrictBoolean, version_integer
from palan.api.endpoint import Group
from palan.api.results import Json, NoContent


__all__ = [
    "CAConfig",
    "ClusterInfo",
    "DispatcherConfig",
    "EncryptionConfig",
    "ExternalCA",
    "JoinTokens",
    "OrchestrationConfig",
    "PeerNode",
    "RaftConfig",
    "Swarm",
    "SwarmInfo",
    "SwarmInit",
    "SwarmInitRequest",
    "SwarmInspect",
    "SwarmJoin",
    "SwarmJoinRequest",
    "SwarmLeave",
    "SwarmSpec",
    "SwarmUnlock",
    "SwarmUnlockKey",
    "SwarmUnlockRequest",
    "SwarmUpdate",
    "TaskDefaults",
    "UnlockKeyResponse",
    "group",
]

group = Group("swarm", "A swarm: a cluster of engines, which are managers and workers.")

_ROTATE: Final = StrictBoolean("invalid value for {name}: {given}")


class SwarmInitRequest(Message):
    """The settings of a new swarm and its first manager."""

    listen_addr: str = ""
    """The address or interface, and the port, for connections between managers."""

    advertise_addr: str = ""
    """The address that other nodes connect to."""

    data_path_addr: str = ""
    """The address or interface for containers' traffic; the advertised one by default."""

    data_path_port: int = 0
    """The UDP port of VXLAN traffic, 1024 to 49151; 0 is 4789."""

    force_new_cluster: bool = False
    """Create a new cluster from this manager's state, if the other managers are lost."""

    spec: SwarmSpec = field(default_factory=SwarmSpec)
    auto_lock_managers: bool = False
    availability: str = ""
    """``active``, ``pause`` or ``drain``."""

    default_addr_pool: list[str] = field(default_factory=list)
    """The pools for subnets of overlay networks; 10.0.0.0/8 by default."""

    subnet_size: int = 0
    """The prefix length of those subnets; 0 is 24."""


class SwarmJoinRequest(Message):
    """The settings with which this node joins a swarm."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: list[str] = field(default_factory=list)
    """The addresses of managers."""

    join_token: str = ""
    """The token, which also decides whether the node is a worker or a manager."""

    availability: str = ""
    """``active``, ``pause`` or ``drain``."""


class SwarmUnlockRequest(Message):
    """The key of a locked manager."""

    unlock_key: str = ""


class UnlockKeyResponse(Message):
    """The key that unlocks managers; empty if managers are not locked."""

    unlock_key: str = ""


@group.endpoint("GET", "/swarm", operation="inspect", result=Json(Swarm), raises=(404, 503))
class SwarmInspect(Request):
    """Inspect the swarm."""


@group.endpoint("POST", "/swarm/init", operation="init", result=Json(str), raises=(503,), slow=True)
class SwarmInit(Request):
    """Create a swarm with this node as its first manager.

    The result is the node's id.
    """

    body: SwarmInitRequest


@group.endpoint(
    "POST", "/swarm/join", operation="join", result=NoContent(200), raises=(503,), slow=True
)
class SwarmJoin(Request):
    """Join an existing swarm."""

    body: SwarmJoinRequest


@group.endpoint(
    "POST", "/swarm/leave", operation="leave", result=NoContent(200), raises=(503,), slow=True
)
class SwarmLeave(Request):
    """Leave the swarm."""

    force: bool = False
    """Leave even if this is the last manager, or if the swarm loses its majority."""


@group.endpoint("POST", "/swarm/update", operation="update", result=NoContent(200), raises=(503,))
class SwarmUpdate(Request):
    """Change the swarm's specification, its join tokens or its unlock key."""

    body: SwarmSpec
    version: Annotated[int, version_integer("swarm")]
    """The version of the swarm that the change is based on."""

    rotate_worker_token: Annotated[bool, _ROTATE] = False
    rotate_manager_token: Annotated[bool, _ROTATE] = False
    rotate_manager_unlock_key: Annotated[bool, _ROTATE] = False


@group.endpoint(
    "GET",
    "/swarm/unlockkey",
    operation="unlock_key",
    result=Json(UnlockKeyResponse),
    raises=(503,),
)
class SwarmUnlockKey(Request):
    """Return the key that unlocks managers."""


@group.endpoint(
    "POST", "/swarm/unlock", operation="unlock", result=NoContent(200), raises=(409, 503)
)
class SwarmUnlock(Request):
    """Unlock this manager after a restart."""

    body: SwarmUnlockRequest
