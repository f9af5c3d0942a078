"""A plugin: its manifest, and its settings."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = [
    "Plugin",
    "PluginArgs",
    "PluginConfig",
    "PluginDevice",
    "PluginEnv",
    "PluginInterface",
    "PluginLinux",
    "PluginMount",
    "PluginNetwork",
    "PluginPrivilege",
    "PluginRootFS",
    "PluginSettings",
    "PluginUser",
]


class PluginMount(Message):
    """A mount of a plugin's container."""

    name: str = ""
    description: str = ""
    settable: list[str] | None = None
    """The fields that users may set: ``source``, ``destination``, ``type``, ``options``."""

    source: str | None = None
    destination: str = ""
    type: str = ""
    options: list[str] | None = None


class PluginDevice(Message):
    """A device of a plugin's container."""

    name: str = ""
    description: str = ""
    settable: list[str] | None = None
    path: str | None = None


class PluginEnv(Message):
    """A variable of a plugin's environment."""

    name: str = ""
    description: str = ""
    settable: list[str] | None = None
    value: str | None = None


class PluginArgs(Message):
    """The arguments of a plugin's entry point."""

    name: str = ""
    description: str = ""
    settable: list[str] | None = None
    value: list[str] | None = None


class PluginInterface(Message):
    """The interface between the engine and a plugin."""

    types: list[str] | None = None
    """Such as ``docker.volumedriver/1.0``."""

    socket: str = ""
    """The name of the socket below ``/run/docker/plugins``."""

    protocol_scheme: str | Unset = UNSET
    """Empty or ``moby.plugins.http/v1``."""


class PluginUser(Message, omit_defaults=True):
    """The user that a plugin runs as."""

    uid: int = field(name="UID", default=0)
    gid: int = field(name="GID", default=0)


class PluginNetwork(Message):
    """The network of a plugin: ``host``, ``bridge`` or ``none``."""

    type: str = ""


class PluginLinux(Message):
    """The capabilities and devices of a plugin's container."""

    capabilities: list[str] | None = None
    allow_all_devices: bool = False
    devices: list[PluginDevice] | None = None


class PluginRootFS(Message, rename=None):
    """The layers of a plugin."""

    type: str | Unset = UNSET
    diff_ids: list[str] | Unset = UNSET


class PluginConfig(Message):
    """The manifest of a plugin."""

    description: str = ""
    documentation: str = ""
    interface: PluginInterface = field(default_factory=PluginInterface)
    entrypoint: list[str] | None = None
    work_dir: str = ""
    user: PluginUser = field(default_factory=PluginUser)
    network: PluginNetwork = field(default_factory=PluginNetwork)
    linux: PluginLinux = field(default_factory=PluginLinux)
    propagated_mount: str = ""
    """A path whose mounts are propagated to the host."""

    ipc_host: bool = False
    pid_host: bool = False
    mounts: list[PluginMount] | None = None
    env: list[PluginEnv] | None = None
    args: PluginArgs = field(default_factory=PluginArgs)
    rootfs: PluginRootFS | Unset = field(name="rootfs", default=UNSET)


class PluginSettings(Message):
    """The settings of a plugin: those of the manifest, or those of users."""

    mounts: list[PluginMount] | None = None
    env: list[str] | None = None
    args: list[str] | None = None
    devices: list[PluginDevice] | None = None


class Plugin(Message):
    """An installed plugin."""

    id: str | Unset = UNSET
    name: str = ""
    enabled: bool = False
    settings: PluginSettings = field(default_factory=PluginSettings)
    plugin_reference: str | Unset = UNSET
    """The reference from which the plugin was pulled."""

    config: PluginConfig = field(default_factory=PluginConfig)


class PluginPrivilege(Message):
    """A privilege that a plugin requires."""

    name: str = ""
    """``network``, ``mount``, ``capabilities``, ``device`` ..."""

    description: str = ""
    value: list[str] | None = None
