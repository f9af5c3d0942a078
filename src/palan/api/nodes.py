"""The nodes of a swarm (``/nodes``)."""

from typing import Annotated

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._cluster_volume import Topology
from palan.api._swarm_types import Annotations, Platform, ResourceObject, SwarmObject, TLSInfo
from palan.api.annotations import LABEL, Filter, FilterSet, version_integer
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import Json, NoContent


__all__ = [
    "EngineDescription",
    "EnginePlugin",
    "ManagerStatus",
    "Node",
    "NodeCSIInfo",
    "NodeDescription",
    "NodeInspect",
    "NodeList",
    "NodeRemove",
    "NodeSpec",
    "NodeStatus",
    "NodeUpdate",
    "Topology",
    "group",
]

group = Group("nodes", "The nodes of a swarm, managers and workers.")


class NodeSpec(Annotations):
    """The specification of a node."""

    role: str | Unset = UNSET
    """``worker`` or ``manager``."""

    availability: str | Unset = UNSET
    """``active``, ``pause`` (no new tasks) or ``drain`` (no tasks at all)."""


class EnginePlugin(Message, omit_defaults=True):
    """A driver of a node's engine."""

    type: str = ""
    """``Log``, ``Network``, ``Volume`` ..."""

    name: str = ""


class EngineDescription(Message, omit_defaults=True):
    """The engine of a node."""

    engine_version: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    plugins: list[EnginePlugin] = field(default_factory=list)


class NodeCSIInfo(Message, omit_defaults=True):
    """Information of a driver of cluster volumes about a node."""

    plugin_name: str = ""
    node_id: str = field(name="NodeID", default="")
    max_volumes_per_node: int = 0
    accessible_topology: Topology | None = None


class NodeDescription(Message):
    """A node's description of itself."""

    hostname: str | Unset = UNSET
    platform: Platform = field(default_factory=Platform)
    resources: ResourceObject = field(default_factory=ResourceObject)
    engine: EngineDescription = field(default_factory=EngineDescription)
    tls_info: TLSInfo = field(name="TLSInfo", default_factory=TLSInfo)
    csi_info: list[NodeCSIInfo] | Unset = field(name="CSIInfo", default=UNSET)


class NodeStatus(Message, omit_defaults=True):
    """The availability of a node to the managers."""

    state: str = ""
    """``unknown``, ``down``, ``ready`` or ``disconnected``."""

    message: str = ""
    addr: str = ""


class ManagerStatus(Message, omit_defaults=True):
    """The status of a manager."""

    leader: bool = False
    reachability: str = ""
    """``unknown``, ``unreachable`` or ``reachable``."""

    addr: str = ""


class Node(SwarmObject):
    """A node of a swarm."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    description: NodeDescription = field(default_factory=NodeDescription)
    status: NodeStatus = field(default_factory=NodeStatus)
    manager_status: ManagerStatus | Unset = UNSET


@group.endpoint("GET", "/nodes", operation="list", result=Json(list[Node]), raises=(503,))
class NodeList(Request):
    """List nodes."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("id", "The beginning of the id."),
            LABEL,
            Filter("membership", "``accepted`` or ``pending``."),
            Filter("name", "The beginning of the name."),
            Filter("node.label", "Labels of the node, as ``key`` or ``key=value``."),
            Filter("role", "``manager`` or ``worker``."),
            late=True,
        ),
    ] = field(default_factory=Filters)


@group.endpoint("GET", "/nodes/{id}", operation="inspect", result=Json(Node), raises=(404, 503))
class NodeInspect(Request):
    """Inspect a node."""

    id: str
    """The id, a unique beginning of it, or the name."""


@group.endpoint(
    "DELETE", "/nodes/{id}", operation="remove", result=NoContent(200), raises=(404, 503)
)
class NodeRemove(Request):
    """Remove a node from the swarm."""

    id: str
    force: bool = False
    """Remove the node even if it is available."""


@group.endpoint(
    "POST", "/nodes/{id}/update", operation="update", result=NoContent(200), raises=(404, 503)
)
class NodeUpdate(Request):
    """Change a node's role, availability or labels."""

    id: str
    version: Annotated[int, version_integer("node")]
    """The version of the node that the change is based on."""

    body: NodeSpec = field(default_factory=NodeSpec)
