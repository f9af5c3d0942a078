"""Builds from Dockerfiles, the build cache, and the connections of BuildKit."""

from typing import Annotated, Final

from msgspec import field

from palan.api._base import Message, Request
from palan.api._progress import ErrorDetail, ImageID, JSONMessage, ProgressDetail
from palan.api.annotations import LABEL, NOT_LABEL, UNTIL, Body, Filter, FilterSet, Header, Integer
from palan.api.auth import RegistryConfig
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import ByteSource, Hijack, Json, Messages, NoContent
from palan.api.version import Version


__all__ = [
    "BuildCancel",
    "BuildGrpc",
    "BuildImage",
    "BuildPrune",
    "BuildPruneResponse",
    "BuildSession",
    "ErrorDetail",
    "ImageID",
    "JSONMessage",
    "ProgressDetail",
    "group",
]

group = Group("build", "Images made from Dockerfiles, and the build cache.")

_BYTES: Final = Integer(
    "{name} is in bytes and expects an integer, got {given}: "
    "strconv.Atoi: parsing {quoted}: {reason}"
)


class BuildPruneResponse(Message):
    """The records of the build cache that were removed."""

    caches_deleted: list[str] | None = None
    space_reclaimed: int = 0
    """Bytes."""


@group.endpoint("POST", "/build", operation="build", result=Messages(JSONMessage))
class BuildImage(Request):
    """Build an image from a Dockerfile and the files beside it."""

    body: Annotated[ByteSource, Body(optional=True)]
    """The context: a tar archive, plain or compressed."""

    content_type: Annotated[str, Header("Content-type")] = "application/x-tar"
    registry_config: RegistryConfig = field(default_factory=dict)

    dockerfile: str = ""
    """The path of the Dockerfile in the context; ``Dockerfile`` by default."""

    t: list[str] = field(default_factory=list)
    """Names for the image."""

    extra_hosts: list[str] = field(name="extrahosts", default_factory=list)
    """Entries for ``/etc/hosts``, ``name:address``."""

    remote: str = ""
    """The URL of the context: a git repository, an archive or a Dockerfile; ``client-session``
    with BuildKit. By default the body is the context."""

    q: bool = False
    """Return only the id."""

    no_cache: bool = field(name="nocache", default=False)
    cache_from: str = field(name="cachefrom", default="")
    """Images to take cached steps from, a JSON list."""

    pull: bool = False
    """Pull base images even if they are on this machine."""

    rm: bool = True
    """Remove the containers of steps that succeeded."""

    force_rm: bool = field(name="forcerm", default=False)
    """Remove the containers of failed steps, too."""

    memory: int = 0
    """The memory limit of each step, in bytes."""

    mem_swap: int = field(name="memswap", default=0)
    """Bytes of memory and swap together; -1 is unlimited."""

    cpu_shares: int = field(name="cpushares", default=0)
    cpuset_cpus: str = field(name="cpusetcpus", default="")
    """The processors to run on, such as ``0-2,4``."""

    cpuset_mems: str = field(name="cpusetmems", default="")
    cpu_period: int = field(name="cpuperiod", default=0)
    """Microseconds."""

    cpu_quota: int = field(name="cpuquota", default=0)
    """Microseconds per period."""

    cgroup_parent: str = field(name="cgroupparent", default="")
    ulimits: str = ""
    """A JSON list of ``Ulimit``."""

    security_opt: str = field(name="securityopt", default="")
    """A JSON list."""

    build_args: str = field(name="buildargs", default="")
    """A JSON object; null as a value means the default of the Dockerfile."""

    shm_size: int = field(name="shmsize", default=0)
    """Bytes."""

    squash: bool = False
    """Squash the layers of the build into one."""

    labels: str = ""
    """A JSON object."""

    network_mode: str = field(name="networkmode", default="")
    platform: str = ""
    """The platform, ``os[/arch[/variant]]``; with BuildKit several, separated by commas."""

    target: str = ""
    """The stage to stop after."""

    outputs: str = ""
    """The outputs of BuildKit, a JSON list of ``{"Type", "Attrs"}``."""

    version: str = "1"
    """The builder: ``1`` is the classic one, ``2`` is BuildKit."""

    session: str = ""
    """The id of BuildKit's session, which serves the context and secrets."""

    build_id: str = field(name="buildid", default="")
    """An id with which the build can be cancelled."""


@group.endpoint(
    "POST",
    "/build/prune",
    operation="prune",
    result=Json(BuildPruneResponse),
    since=Version(1, 31),
    slow=True,
)
class BuildPrune(Request):
    """Remove unused records of the build cache."""

    all: bool = False
    """Include internal records."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("description", "A part of the description."),
            Filter("id", "The id."),
            Filter("inuse", "Whether it is in use.", boolean=True),
            Filter("parent", "The id of its parent."),
            Filter("private", "Whether it is private.", boolean=True),
            Filter("shared", "Whether it is shared.", boolean=True),
            Filter("type", "The kind of record, such as ``regular``."),
            LABEL,
            NOT_LABEL,
            UNTIL,
            Filter("unused-for", "Another name of ``until``."),
            unknown="failed to prune build cache: invalid filter '{name}'",
        ),
    ] = field(default_factory=Filters)
    keep_storage: Annotated[int, _BYTES] = field(name="keep-storage", default=0)
    """The name of ``reserved_space`` below 1.48."""

    reserved_space: Annotated[int, _BYTES] = field(name="reserved-space", default=0)
    """Bytes that are always kept."""

    max_used_space: Annotated[int, _BYTES] = field(name="max-used-space", default=0)
    """The maximum size of the cache in bytes; 0 is unlimited."""

    min_free_space: Annotated[int, _BYTES] = field(name="min-free-space", default=0)
    """Bytes of the disk that are to be free."""


@group.endpoint(
    "POST",
    "/build/cancel",
    operation="cancel",
    result=NoContent(status=200),
    since=Version(1, 39),
)
class BuildCancel(Request):
    """Cancel a build; an unknown id is not an error."""

    id: str = ""
    """The ``build_id`` of the build."""


@group.endpoint(
    "POST", "/session", operation="session", result=Hijack(upgrade="h2c"), since=Version(1, 31)
)
class BuildSession(Request):
    """Open a connection on which the client serves files and secrets to builds (h2c)."""


@group.endpoint(
    "POST", "/grpc", operation="grpc", result=Hijack(upgrade="h2c"), since=Version(1, 39)
)
class BuildGrpc(Request):
    """Open a connection to BuildKit's services (h2c)."""
