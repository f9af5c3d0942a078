"""The specification of a task (``TaskTemplate`` of a service, ``Spec`` of a task)."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset
from palan.api._container_config import EmptyObject, HealthConfig
from palan.api._host_config import Ulimit
from palan.api._mounts import Mount
from palan.api._swarm_types import Driver, Limit, Platform, ResourceObject


__all__ = [
    "AppArmorOpts",
    "ContainerSpec",
    "CredentialSpec",
    "DNSConfig",
    "FileTarget",
    "NetworkAttachmentConfig",
    "NetworkAttachmentSpec",
    "Placement",
    "PlacementPreference",
    "PluginSpec",
    "PluginSpecPrivilege",
    "Privileges",
    "ResourceRequirements",
    "SELinuxContext",
    "SeccompOpts",
    "SecretReference",
    "SpreadOver",
    "TaskConfigReference",
    "TaskRestartPolicy",
    "TaskSpec",
]


class CredentialSpec(Message):
    """Credentials of a managed service account; Windows only."""

    config: str = ""
    file: str = ""
    registry: str = ""


class SELinuxContext(Message):
    """SELinux labels of a task's processes."""

    disable: bool = False
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SeccompOpts(Message, omit_defaults=True):
    """The system calls that a task may use."""

    mode: str = ""
    """``default``, ``unconfined`` or ``custom``."""

    profile: bytes = b""
    """The custom profile, as JSON; base64 in the message."""


class AppArmorOpts(Message, omit_defaults=True):
    """The AppArmor mode of a task."""

    mode: str = ""
    """``default`` or ``disabled``."""


class Privileges(Message):
    """Security options of a task's container."""

    credential_spec: CredentialSpec | None = None
    selinux_context: SELinuxContext | None = field(name="SELinuxContext", default=None)
    seccomp: SeccompOpts | Unset = UNSET
    app_armor: AppArmorOpts | Unset = UNSET
    no_new_privileges: bool = False


class DNSConfig(Message, omit_defaults=True):
    """The ``resolv.conf`` of a task's container."""

    nameservers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


class FileTarget(Message):
    """The file of a secret or a config in a container."""

    name: str = ""
    uid: str = field(name="UID", default="")
    gid: str = field(name="GID", default="")
    mode: int = 0
    """Permission bits."""


class SecretReference(Message):
    """A secret of a task."""

    file: FileTarget | None = None
    secret_id: str = field(name="SecretID", default="")
    secret_name: str = ""


class TaskConfigReference(Message):
    """A config of a task, as a file or for the runtime."""

    file: FileTarget | Unset = UNSET
    runtime: EmptyObject | Unset = UNSET
    """An empty object: the config is used as a credential specification instead of a file."""

    config_id: str = field(name="ConfigID", default="")
    config_name: str = ""


class ContainerSpec(Message, omit_defaults=True):
    """The container of a task."""

    image: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    """Replaces the image's entry point."""

    args: list[str] = field(default_factory=list)
    hostname: str = ""
    env: list[str] = field(default_factory=list)
    dir: str = ""
    user: str = ""
    groups: list[str] = field(default_factory=list)
    privileges: Privileges | None = None
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = field(name="TTY", default=False)
    open_stdin: bool = False
    read_only: bool = False
    mounts: list[Mount] = field(default_factory=list)
    stop_grace_period: int | None = None
    """Nanoseconds."""

    healthcheck: HealthConfig | None = None
    hosts: list[str] = field(default_factory=list)
    """Lines of ``/etc/hosts``: ``address name...``."""

    dns_config: DNSConfig | None = field(name="DNSConfig", default=None)
    secrets: list[SecretReference] = field(default_factory=list)
    configs: list[TaskConfigReference] = field(default_factory=list)
    isolation: str = ""
    """Windows only."""

    sysctls: dict[str, str] = field(default_factory=dict)
    capability_add: list[str] = field(default_factory=list)
    capability_drop: list[str] = field(default_factory=list)
    ulimits: list[Ulimit] = field(default_factory=list)
    oom_score_adj: int = 0


class PluginSpecPrivilege(Message, omit_defaults=True, rename="lower"):
    """A privilege granted to a plugin."""

    name: str = ""
    description: str = ""
    value: list[str] = field(default_factory=list)


class PluginSpec(Message, omit_defaults=True, rename="lower"):
    """The plugin that a service of the runtime ``plugin`` installs on nodes.

    Unlike elsewhere, its JSON keys are in lower case.
    """

    name: str = ""
    remote: str = ""
    privileges: list[PluginSpecPrivilege] = field(default_factory=list)
    disabled: bool = False
    env: list[str] = field(default_factory=list)


class NetworkAttachmentSpec(Message):
    """A container outside of the swarm that is connected to a network of the swarm."""

    container_id: str = field(name="ContainerID", default="")


class ResourceRequirements(Message, omit_defaults=True):
    """The limits and the reserved resources of a task."""

    limits: Limit | None = None
    reservations: ResourceObject | None = None
    swap_bytes: int | None = None
    """Bytes of swap in addition to the memory limit; -1 is unlimited."""

    memory_swappiness: int | None = None
    """0 to 100; -1 is the kernel's default."""


class TaskRestartPolicy(Message, omit_defaults=True):
    """The condition for replacing a task that has ended."""

    condition: str = ""
    """``none``, ``on-failure`` or ``any``."""

    delay: int | None = None
    """Nanoseconds between attempts."""

    max_attempts: int | None = None
    """The maximum of attempts; 0 is unlimited."""

    window: int | None = None
    """Nanoseconds in which attempts are counted; 0 is unlimited."""


class SpreadOver(Message):
    """Spreading of tasks evenly over the values of a label."""

    spread_descriptor: str = ""
    """The label, such as ``node.labels.zone``."""


class PlacementPreference(Message):
    """A preference for the placement of tasks."""

    spread: SpreadOver | None = None


class Placement(Message, omit_defaults=True):
    """The nodes that a task may run on."""

    constraints: list[str] = field(default_factory=list)
    """Expressions such as ``node.role==manager``."""

    preferences: list[PlacementPreference] = field(default_factory=list)
    max_replicas: int = 0
    """The maximum of tasks per node; 0 is unlimited."""

    platforms: list[Platform] = field(default_factory=list)


class NetworkAttachmentConfig(Message, omit_defaults=True):
    """A network of a task."""

    target: str = ""
    aliases: list[str] = field(default_factory=list)
    driver_opts: dict[str, str] = field(default_factory=dict)


class TaskSpec(Message):
    """The specification of a task; exactly one of the three kinds is set."""

    container_spec: ContainerSpec | Unset = UNSET
    plugin_spec: PluginSpec | Unset = UNSET
    network_attachment_spec: NetworkAttachmentSpec | Unset = UNSET
    resources: ResourceRequirements | Unset = UNSET
    restart_policy: TaskRestartPolicy | Unset = UNSET
    placement: Placement | Unset = UNSET
    networks: list[NetworkAttachmentConfig] | Unset = UNSET
    log_driver: Driver | Unset = UNSET
    force_update: int = 0
    """A changed number replaces all tasks."""

    runtime: str | Unset = UNSET
    """``container``, ``plugin`` or ``attachment``."""
