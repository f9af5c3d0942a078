"""Mounts: as asked for (``HostConfig.Mounts``, service specs) and as they are (inspect)."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = [
    "BindOptions",
    "ImageOptions",
    "Mount",
    "MountPoint",
    "TmpfsOptions",
    "VolumeDriverConfig",
    "VolumeOptions",
]


class BindOptions(Message, omit_defaults=True):
    """How a directory of the host is bound."""

    propagation: str = ""
    """``private``, ``rprivate``, ``shared``, ``rshared``, ``slave`` or ``rslave``."""

    non_recursive: bool = False
    create_mountpoint: bool = False
    """Make the source directory when it is absent."""

    read_only_non_recursive: bool = False
    """Only the mount itself is read-only, not what is mounted below it."""

    read_only_force_recursive: bool = False
    """Fail rather than leave something below writable."""


class VolumeDriverConfig(Message, omit_defaults=True):
    """Which driver makes the volume when it does not exist yet, and its options."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict)


class VolumeOptions(Message, omit_defaults=True):
    """How a volume is mounted, and made when it does not exist yet."""

    no_copy: bool = False
    """Do not fill an empty volume with what the image has at the target."""

    labels: dict[str, str] = field(default_factory=dict)
    driver_config: VolumeDriverConfig | None = None
    subpath: str = ""


class ImageOptions(Message, omit_defaults=True):
    """How an image is mounted."""

    subpath: str = ""


class TmpfsOptions(Message, omit_defaults=True):
    """How a tmpfs is made."""

    size_bytes: int = 0
    mode: int = 0
    """Permission bits; 0 leaves the kernel's default."""

    options: list[list[str]] = field(default_factory=list)
    """Mount options, ``["key"]`` or ``["key", "value"]``."""


class Mount(Message, omit_defaults=True):
    """A mount that a client asks for."""

    type: str = ""
    """``bind``, ``volume``, ``tmpfs``, ``image``, ``cluster`` or ``npipe``."""

    source: str = ""
    """A path for bind, else a name; empty for tmpfs and anonymous volumes."""

    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, str] | None = None
    """An empty object; marks a cluster volume."""


class MountPoint(Message):
    """A mount that a container has."""

    type: str = ""
    name: str | Unset = UNSET
    source: str = ""
    destination: str = ""
    driver: str | Unset = UNSET
    mode: str = ""
    """The options given in the short form, such as ``z`` or ``ro``."""

    rw: bool = field(name="RW", default=False)
    propagation: str = ""
