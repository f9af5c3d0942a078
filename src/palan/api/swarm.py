"""The swarm: making one, joining, leaving, locking (``/swarm``)."""

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

group = Group("swarm", "Engines joined into one: a swarm of managers and workers.")

_ROTATE: Final = StrictBoolean("invalid value for {name}: {given}")


class SwarmInitRequest(Message):
    """How a new swarm and its first manager are made."""

    listen_addr: str = ""
    """Where managers listen for each other: address or interface, and a port."""

    advertise_addr: str = ""
    """What other nodes are told to connect to."""

    data_path_addr: str = ""
    """Address or interface for containers' traffic; the advertised one by default."""

    data_path_port: int = 0
    """UDP port of VXLAN traffic, 1024 to 49151; 0 is 4789."""

    force_new_cluster: bool = False
    """Go on alone with this manager's state, when the others are lost."""

    spec: SwarmSpec = field(default_factory=SwarmSpec)
    auto_lock_managers: bool = False
    availability: str = ""
    """``active``, ``pause`` or ``drain``."""

    default_addr_pool: list[str] = field(default_factory=list)
    """Networks to take subnets of overlay networks from; empty is 10.0.0.0/8."""

    subnet_size: int = 0
    """Prefix length of those subnets; 0 is 24."""


class SwarmJoinRequest(Message):
    """How this node becomes part of a swarm."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: list[str] = field(default_factory=list)
    """Managers that are there already."""

    join_token: str = ""
    """Decides also whether the node is a worker or a manager."""

    availability: str = ""
    """``active``, ``pause`` or ``drain``."""


class SwarmUnlockRequest(Message):
    """The key of a locked manager."""

    unlock_key: str = ""


class UnlockKeyResponse(Message):
    """The key that unlocks managers; empty when they are not locked."""

    unlock_key: str = ""


@group.endpoint("GET", "/swarm", operation="inspect", result=Json(Swarm), raises=(404, 503))
class SwarmInspect(Request):
    """Inspect the swarm."""


@group.endpoint("POST", "/swarm/init", operation="init", result=Json(str), raises=(503,), slow=True)
class SwarmInit(Request):
    """Make a swarm with this node as its first manager.

    The answer is the node's id.
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
    """Also when this is the last manager, or the swarm would lose its majority."""


@group.endpoint("POST", "/swarm/update", operation="update", result=NoContent(200), raises=(503,))
class SwarmUpdate(Request):
    """Change the swarm's specification, its join tokens or its unlock key."""

    body: SwarmSpec
    version: Annotated[int, version_integer("swarm")]
    """The version of the swarm that the change was made from."""

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
    """Show the key that unlocks managers."""


@group.endpoint(
    "POST", "/swarm/unlock", operation="unlock", result=NoContent(200), raises=(409, 503)
)
class SwarmUnlock(Request):
    """Unlock this manager after a restart."""

    body: SwarmUnlockRequest
