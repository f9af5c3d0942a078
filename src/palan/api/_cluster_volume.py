"""Cluster volumes: volumes that a swarm manages through CSI plugins."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_config import EmptyObject
from palan.api._swarm_types import SwarmObject


__all__ = [
    "CapacityRange",
    "ClusterVolume",
    "ClusterVolumeAccessMode",
    "ClusterVolumeInfo",
    "ClusterVolumePublishStatus",
    "ClusterVolumeSecret",
    "ClusterVolumeSpec",
    "Topology",
    "TopologyRequirement",
]


class Topology(Message):
    """A place in the cluster, such as a zone."""

    segments: dict[str, str] | Unset = UNSET


class TopologyRequirement(Message, omit_defaults=True):
    """From where a volume must be reachable, and where it best is."""

    requisite: list[Topology] = field(default_factory=list)
    preferred: list[Topology] = field(default_factory=list)


class CapacityRange(Message):
    """How big a volume shall be, in bytes; 0 is any."""

    required_bytes: int = 0
    limit_bytes: int = 0


class ClusterVolumeSecret(Message):
    """A secret that is handed to the plugin."""

    key: str = ""
    """The plugin's name for it."""

    secret: str = ""
    """The swarm's name or id of it."""


class ClusterVolumeAccessMode(Message, omit_defaults=True):
    """How tasks may use a volume.

    Docker's description has the secrets, topology, capacity and availability in here;
    dockerd reads and answers them in the specification itself.
    """

    scope: str = ""
    """``single`` or ``multi``: on how many nodes at once."""

    sharing: str = ""
    """``none``, ``readonly``, ``onewriter`` or ``all``: by how many tasks at once."""

    mount_volume: EmptyObject | None = None
    """A filesystem: ``FsType`` and ``MountFlags``."""

    block_volume: EmptyObject | None = None
    """A block device: an empty object."""


class ClusterVolumeSpec(Message, omit_defaults=True):
    """What a cluster volume shall be."""

    group: str = ""
    """Any volume of a group may serve a mount of ``group:<name>``."""

    access_mode: ClusterVolumeAccessMode | None = None
    accessibility_requirements: TopologyRequirement | None = None
    capacity_range: CapacityRange | None = None
    secrets: list[ClusterVolumeSecret] = field(default_factory=list)
    availability: str = ""
    """``active``, ``pause`` or ``drain``."""


class ClusterVolumeInfo(Message, omit_defaults=True):
    """What the plugin says about a volume that it has made."""

    capacity_bytes: int = 0
    volume_context: dict[str, str] = field(default_factory=dict)
    volume_id: str = field(name="VolumeID", default="")
    """The plugin's name for it."""

    accessible_topology: list[Topology] = field(default_factory=list)


class ClusterVolumePublishStatus(Message, omit_defaults=True):
    """Where a volume is on its way to, or from, a node."""

    node_id: str = field(name="NodeID", default="")
    state: str = ""
    """``pending-publish``, ``published``, ``pending-node-unpublish`` or
    ``pending-controller-unpublish``."""

    publish_context: dict[str, str] = field(default_factory=dict)


class ClusterVolume(SwarmObject):
    """What the swarm knows about a volume."""

    spec: ClusterVolumeSpec = field(default_factory=ClusterVolumeSpec)
    publish_status: list[ClusterVolumePublishStatus] | Unset = UNSET
    info: ClusterVolumeInfo | Unset = UNSET
