"""Content as OCI describes it, and where an object's files are kept."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset, camel_case


__all__ = [
    "DriverData",
    "OCIDescriptor",
    "OCIPlatform",
    "RootFSStorage",
    "RootFSStorageSnapshot",
    "Storage",
]


class OCIPlatform(Message, rename=camel_case):
    """What a program needs to run: processor and operating system."""

    architecture: str = ""
    os: str = ""
    os_version: str | Unset = field(name="os.version", default=UNSET)
    os_features: list[str] | Unset = field(name="os.features", default=UNSET)
    variant: str | Unset = UNSET


class OCIDescriptor(Message, rename=camel_case):
    """A piece of content by its digest (OCI image specification, descriptor)."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    """Bytes."""

    urls: list[str] | Unset = UNSET
    annotations: dict[str, str] | Unset = UNSET
    data: str | Unset = UNSET
    """The content itself, in base64."""

    platform: OCIPlatform | Unset = UNSET
    artifact_type: str | Unset = UNSET


class DriverData(Message):
    """How a graph driver keeps an object's files."""

    name: str = ""
    data: dict[str, str] | None = None


class RootFSStorageSnapshot(Message):
    """The snapshotter that keeps a root filesystem."""

    name: str = ""


class RootFSStorage(Message):
    """How a root filesystem is kept."""

    snapshot: RootFSStorageSnapshot | Unset = UNSET


class Storage(Message):
    """How a container's files are kept."""

    root_fs: RootFSStorage | Unset = field(name="RootFS", default=UNSET)
