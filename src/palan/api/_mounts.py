"""Requested mounts (``HostConfig.Mounts``, service specifications) and actual mounts (inspect)."""

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
    """Options of a bind mount."""

    propagation: str = ""
    """``private``, ``rprivate``, ``shared``, ``rshared``, ``slave`` or ``rslave``."""

    non_recursive: bool = False
    create_mountpoint: bool = False
    """Create the source directory if it does not exist."""

    read_only_non_recursive: bool = False
    """Make only the mount itself read-only, not the mounts below it."""

    read_only_force_recursive: bool = False
    """Fail if a mount below it cannot be made read-only."""


class VolumeDriverConfig(Message, omit_defaults=True):
    """The driver and its options with which a missing volume is created."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict)


class VolumeOptions(Message, omit_defaults=True):
    """Options of a volume mount; a missing volume is created."""

    no_copy: bool = False
    """Do not copy the image's files at the target to an empty volume."""

    labels: dict[str, str] = field(default_factory=dict)
    driver_config: VolumeDriverConfig | None = None
    subpath: str = ""


class ImageOptions(Message, omit_defaults=True):
    """Options of an image mount."""

    subpath: str = ""


class TmpfsOptions(Message, omit_defaults=True):
    """Options of a tmpfs."""

    size_bytes: int = 0
    mode: int = 0
    """Permission bits; 0 is the kernel's default."""

    options: list[list[str]] = field(default_factory=list)
    """Mount options, ``["key"]`` or ``["key", "value"]``."""


class Mount(Message, omit_defaults=True):
    """A requested mount."""

    type: str = ""
    """``bind``, ``volume``, ``tmpfs``, ``image``, ``cluster`` or ``npipe``."""

    source: str = ""
    """A path for bind mounts, else a name; empty for tmpfs and anonymous volumes."""

    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, str] | None = None
    """An empty object for cluster volumes."""


class MountPoint(Message):
    """A mount of a container."""

    type: str = ""
    name: str | Unset = UNSET
    source: str = ""
    destination: str = ""
    driver: str | Unset = UNSET
    mode: str = ""
    """The options of the short form, such as ``z`` or ``ro``."""

    rw: bool = field(name="RW", default=False)
    propagation: str = ""
