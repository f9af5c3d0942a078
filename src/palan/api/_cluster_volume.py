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
    """A location in the cluster, such as a zone."""

    segments: dict[str, str] | Unset = UNSET


class TopologyRequirement(Message, omit_defaults=True):
    """The locations from which a volume must be accessible, and the preferred ones."""

    requisite: list[Topology] = field(default_factory=list)
    preferred: list[Topology] = field(default_factory=list)


class CapacityRange(Message):
    """The limits of the size of a volume in bytes; 0 is any."""

    required_bytes: int = 0
    limit_bytes: int = 0


class ClusterVolumeSecret(Message):
    """A secret that is passed to the plugin."""

    key: str = ""
    """The plugin's name for it."""

    secret: str = ""
    """The name or id of the secret in the swarm."""


class ClusterVolumeAccessMode(Message, omit_defaults=True):
    """The ways in which tasks may use a volume.

    Docker's description has secrets, topology, capacity and availability in this object;
    dockerd reads and shows them in the specification itself.
    """

    scope: str = ""
    """The number of nodes at a time: ``single`` or ``multi``."""

    sharing: str = ""
    """The sharing between tasks: ``none``, ``readonly``, ``onewriter`` or ``all``."""

    mount_volume: EmptyObject | None = None
    """A filesystem: ``FsType`` and ``MountFlags``."""

    block_volume: EmptyObject | None = None
    """A block device: an empty object."""


class ClusterVolumeSpec(Message, omit_defaults=True):
    """The specification of a cluster volume."""

    group: str = ""
    """The group; a mount of ``group:<name>`` may use any volume of it."""

    access_mode: ClusterVolumeAccessMode | None = None
    accessibility_requirements: TopologyRequirement | None = None
    capacity_range: CapacityRange | None = None
    secrets: list[ClusterVolumeSecret] = field(default_factory=list)
    availability: str = ""
    """``active``, ``pause`` or ``drain``."""


class ClusterVolumeInfo(Message, omit_defaults=True):
    """The plugin's information about a volume that it has created."""

    capacity_bytes: int = 0
    volume_context: dict[str, str] = field(default_factory=dict)
    volume_id: str = field(name="VolumeID", default="")
    """The plugin's name for it."""

    accessible_topology: list[Topology] = field(default_factory=list)


class ClusterVolumePublishStatus(Message, omit_defaults=True):
    """The state of a volume on a node."""

    node_id: str = field(name="NodeID", default="")
    state: str = ""
    """``pending-publish``, ``published``, ``pending-node-unpublish`` or
    ``pending-controller-unpublish``."""

    publish_context: dict[str, str] = field(default_factory=dict)


class ClusterVolume(SwarmObject):
    """The swarm's information about a volume."""

    spec: ClusterVolumeSpec = field(default_factory=ClusterVolumeSpec)
    publish_status: list[ClusterVolumePublishStatus] | Unset = UNSET
    info: ClusterVolumeInfo | Unset = UNSET
