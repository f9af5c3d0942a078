"""Volumes: storage that outlives containers."""

from typing import Annotated, Any

from msgspec import field

from palan.api._base import UNSET, Message, Request, Unset
from palan.api._cluster_volume import (
    CapacityRange,
    ClusterVolume,
    ClusterVolumeAccessMode,
    ClusterVolumeInfo,
    ClusterVolumePublishStatus,
    ClusterVolumeSecret,
    ClusterVolumeSpec,
    Topology,
    TopologyRequirement,
)
from palan.api.annotations import LABEL, NOT_LABEL, Body, Filter, FilterSet, version_integer
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import NO_CONTENT, Json, NoContent
from palan.api.version import Version


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
    "Volume",
    "VolumeCreate",
    "VolumeCreateRequest",
    "VolumeInspect",
    "VolumeList",
    "VolumeListResponse",
    "VolumePrune",
    "VolumePruneResponse",
    "VolumeRemove",
    "VolumeUpdate",
    "VolumeUpdateBody",
    "VolumeUsageData",
    "group",
]

group = Group("volumes", "Volumes that hold the files of containers.")


class VolumeUsageData(Message):
    """The usage of a volume; -1 is unknown."""

    ref_count: int = -1
    """The number of containers that use the volume."""

    size: int = -1
    """Bytes."""


class Volume(Message):
    """A volume."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    created_at: str | Unset = UNSET
    """RFC 3339, to the second."""

    status: dict[str, Any] | Unset = UNSET
    """The status that the driver reports."""

    labels: dict[str, str] | None = None
    scope: str = "local"
    """``local`` or ``global``."""

    cluster_volume: ClusterVolume | Unset = UNSET
    options: dict[str, str] | None = None
    usage_data: VolumeUsageData | Unset = UNSET
    """The usage; only in ``GET /system/df``."""


class VolumeListResponse(Message):
    """The volumes, and warnings about drivers that did not answer."""

    volumes: list[Volume] = field(default_factory=list)
    warnings: list[str] | None = None


class VolumeCreateRequest(Message):
    """A volume to create."""

    name: str = ""
    """The name; empty for an anonymous volume."""

    driver: str = ""
    """The driver; ``local`` by default."""

    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: ClusterVolumeSpec | None = None


class VolumeUpdateBody(Message):
    """The new specification of a cluster volume."""

    spec: ClusterVolumeSpec | None = None


class VolumePruneResponse(Message):
    """The volumes that were removed."""

    volumes_deleted: list[str] = field(default_factory=list)
    space_reclaimed: int = 0
    """Bytes."""


@group.endpoint("GET", "/volumes", operation="list", result=Json(VolumeListResponse))
class VolumeList(Request):
    """List volumes."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("dangling", "Whether no container uses it.", boolean=True),
            Filter("driver", "The name of the driver."),
            LABEL,
            Filter("name", "A regular expression that matches a part of the name."),
            malformed="error reading volume filters: invalid filter",
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "POST",
    "/volumes/create",
    operation="create",
    result=Json(Volume, status=201),
    raises=(404, 409),
)
class VolumeCreate(Request):
    """Create a volume, or return the existing volume of that name."""

    body: Annotated[VolumeCreateRequest, Body(struct="CreateRequest")] = field(
        default_factory=VolumeCreateRequest
    )


@group.endpoint(
    "GET", "/volumes/{name...}", operation="inspect", result=Json(Volume), raises=(404,)
)
class VolumeInspect(Request):
    """Return information about a volume."""

    name: str


@group.endpoint(
    "PUT",
    "/volumes/{name...}",
    operation="update",
    result=NoContent(status=200),
    raises=(404, 503),
    since=Version(1, 42),
)
class VolumeUpdate(Request):
    """Change the availability of a cluster volume; other changes are refused."""

    name: str
    version: Annotated[int, version_integer("swarm object")]
    """The version of the volume that the change is based on."""

    body: VolumeUpdateBody = field(default_factory=VolumeUpdateBody)


@group.endpoint(
    "DELETE", "/volumes/{name...}", operation="remove", result=NO_CONTENT, raises=(404, 409)
)
class VolumeRemove(Request):
    """Remove an unused volume."""

    name: str
    force: bool = False
    """Do not fail if the volume does not exist."""


@group.endpoint(
    "POST",
    "/volumes/prune",
    operation="prune",
    result=Json(VolumePruneResponse),
    raises=(409,),
    since=Version(1, 25),
    slow=True,
)
class VolumePrune(Request):
    """Remove unused anonymous volumes."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("all", "Whether volumes with names are removed, too.", boolean=True),
            LABEL,
            NOT_LABEL,
        ),
    ] = field(default_factory=Filters)
