"""Content descriptors of the OCI image specification, and storage of an object's files."""

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
    """A platform: processor and operating system."""

    architecture: str = ""
    os: str = ""
    os_version: str | Unset = field(name="os.version", default=UNSET)
    os_features: list[str] | Unset = field(name="os.features", default=UNSET)
    variant: str | Unset = UNSET


class OCIDescriptor(Message, rename=camel_case):
    """A reference to content by its digest (OCI image specification, descriptor)."""

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
    """The storage of an object's files by a graph driver."""

    name: str = ""
    data: dict[str, str] | None = None


class RootFSStorageSnapshot(Message):
    """The snapshotter that stores a root filesystem."""

    name: str = ""


class RootFSStorage(Message):
    """The storage of a root filesystem."""

    snapshot: RootFSStorageSnapshot | Unset = UNSET


class Storage(Message):
    """The storage of a container's files."""

    root_fs: RootFSStorage | Unset = field(name="RootFS", default=UNSET)
