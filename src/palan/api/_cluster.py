"""A swarm: its specification, its state, and a node's information about it."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._swarm_types import Annotations, Driver, SwarmObject, TLSInfo


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
    "SwarmSpec",
    "TaskDefaults",
]


class OrchestrationConfig(Message):
    """Retention of finished tasks."""

    task_history_retention_limit: int | Unset = UNSET
    """The number of finished tasks to keep per slot; negative keeps all."""


class RaftConfig(Message):
    """Settings of the managers' consensus protocol; ticks are seconds."""

    snapshot_interval: int | Unset = UNSET
    """The number of log entries between snapshots."""

    keep_old_snapshots: int | Unset = UNSET
    log_entries_for_slow_followers: int | Unset = UNSET
    election_tick: int = 0
    heartbeat_tick: int = 0


class DispatcherConfig(Message, omit_defaults=True):
    """Settings of the managers' health checks of nodes."""

    heartbeat_period: int = 0
    """Nanoseconds."""


class ExternalCA(Message):
    """An external authority that signs nodes' certificates."""

    protocol: str = ""
    """``cfssl``."""

    url: str = field(name="URL", default="")
    options: dict[str, str] | Unset = UNSET
    ca_cert: str = field(name="CACert", default="")
    """The root certificate in PEM."""


class CAConfig(Message, omit_defaults=True):
    """Settings for the certificates of nodes."""

    node_cert_expiry: int = 0
    """Nanoseconds."""

    external_cas: list[ExternalCA] = field(name="ExternalCAs", default_factory=list)
    signing_ca_cert: str = field(name="SigningCACert", default="")
    signing_ca_key: str = field(name="SigningCAKey", default="")
    force_rotate: int = 0
    """A changed number makes the nodes renew their certificates."""


class TaskDefaults(Message, omit_defaults=True):
    """Defaults for the tasks of services."""

    log_driver: Driver | None = None


class EncryptionConfig(Message):
    """Whether managers' state is readable without a key after a restart."""

    auto_lock_managers: bool = False


class SwarmSpec(Annotations):
    """The specification of a swarm. Its name is always ``default``."""

    orchestration: OrchestrationConfig = field(default_factory=OrchestrationConfig)
    raft: RaftConfig = field(default_factory=RaftConfig)
    dispatcher: DispatcherConfig = field(default_factory=DispatcherConfig)
    ca_config: CAConfig = field(name="CAConfig", default_factory=CAConfig)
    task_defaults: TaskDefaults = field(default_factory=TaskDefaults)
    encryption_config: EncryptionConfig = field(default_factory=EncryptionConfig)


class ClusterInfo(SwarmObject):
    """A swarm without its secrets, as in ``GET /info``."""

    spec: SwarmSpec = field(default_factory=SwarmSpec)
    tls_info: TLSInfo = field(name="TLSInfo", default_factory=TLSInfo)
    root_rotation_in_progress: bool = False
    default_addr_pool: list[str] | None = None
    """The address pools for subnets of overlay networks."""

    subnet_size: int = 0
    """The prefix length of those subnets."""

    data_path_port: int = 0
    """UDP port of VXLAN traffic."""


class JoinTokens(Message):
    """The tokens with which nodes join as workers or as managers."""

    worker: str = ""
    manager: str = ""


class Swarm(ClusterInfo):
    """A swarm, as its managers show it."""

    join_tokens: JoinTokens = field(default_factory=JoinTokens)


class PeerNode(Message):
    """A manager, as known to a node."""

    node_id: str = field(name="NodeID", default="")
    addr: str = ""


class SwarmInfo(Message):
    """A node's information about its swarm (``GET /info``)."""

    node_id: str = field(name="NodeID", default="")
    node_addr: str = ""
    local_node_state: str = "inactive"
    """``inactive``, ``pending``, ``active``, ``error`` or ``locked``."""

    control_available: bool = False
    """Whether this node is a manager."""

    error: str = ""
    remote_managers: list[PeerNode] | None = None
    nodes: int | Unset = UNSET
    managers: int | Unset = UNSET
    cluster: ClusterInfo | Unset = UNSET
    warnings: list[str] | Unset = UNSET
