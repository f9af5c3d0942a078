"""Build: images from Dockerfiles, the cache, and the connections that BuildKit uses."""

from typing import Annotated, Final

from msgspec import field

from palan.api._base import Message, Request
from palan.api._progress import ErrorDetail, ImageID, JSONMessage, ProgressDetail
from palan.api.annotations import UNTIL, Filter, FilterSet, Header, Integer
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

    body: ByteSource
    """The context: a tar archive, plain or compressed."""

    content_type: Annotated[str, Header("Content-type")] = "application/x-tar"
    registry_config: RegistryConfig = field(default_factory=dict)

    dockerfile: str = ""
    """Its path in the context; empty is ``Dockerfile``."""

    t: list[str] = field(default_factory=list)
    """Names for the image."""

    extra_hosts: list[str] = field(name="extrahosts", default_factory=list)
    """``name:address``."""

    remote: str = ""
    """Where the context is instead of the body: a git repository, an archive, a Dockerfile;
    ``client-session`` with BuildKit."""

    q: bool = False
    """Only say the id."""

    no_cache: bool = field(name="nocache", default=False)
    cache_from: str = field(name="cachefrom", default="")
    """Images to take steps from: a list as JSON."""

    pull: bool = False
    """Ask the registry even for images that are here."""

    rm: bool = True
    """Remove the containers of steps that succeeded."""

    force_rm: bool = field(name="forcerm", default=False)
    """Remove those of steps that failed as well."""

    memory: int = 0
    """Bytes, for each step; so are the next ones limits of steps."""

    mem_swap: int = field(name="memswap", default=0)
    """Bytes of memory and swap together; -1 is without limit."""

    cpu_shares: int = field(name="cpushares", default=0)
    cpuset_cpus: str = field(name="cpusetcpus", default="")
    cpuset_mems: str = field(name="cpusetmems", default="")
    cpu_period: int = field(name="cpuperiod", default=0)
    """Microseconds."""

    cpu_quota: int = field(name="cpuquota", default=0)
    """Microseconds per period."""

    cgroup_parent: str = field(name="cgroupparent", default="")
    ulimits: str = ""
    """A list of ``Ulimit`` as JSON."""

    security_opt: str = field(name="securityopt", default="")
    """A list as JSON."""

    build_args: str = field(name="buildargs", default="")
    """An object as JSON; null as a value means the default of the Dockerfile."""

    shm_size: int = field(name="shmsize", default=0)
    """Bytes."""

    squash: bool = False
    """Make one layer of all that the build adds."""

    labels: str = ""
    """An object as JSON."""

    network_mode: str = field(name="networkmode", default="")
    platform: str = ""
    """``os[/arch[/variant]]``; with BuildKit several, separated by commas."""

    target: str = ""
    """The stage to stop after."""

    outputs: str = ""
    """What BuildKit shall make: a list of ``{"Type", "Attrs"}`` as JSON."""

    version: str = "1"
    """``1`` is the classic builder, ``2`` is BuildKit."""

    session: str = ""
    """BuildKit's session, which offers the context and secrets."""

    build_id: str = field(name="buildid", default="")
    """A name to cancel the build by."""


@group.endpoint(
    "POST",
    "/build/prune",
    operation="prune",
    result=Json(BuildPruneResponse),
    since=Version(1, 31),
    slow=True,
)
class BuildPrune(Request):
    """Remove records of the build cache that nothing uses."""

    all: bool = False
    """Also internal records."""

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
            UNTIL,
            unknown="failed to prune build cache: invalid filter '{name}'",
        ),
    ] = field(default_factory=Filters)
    keep_storage: Annotated[int, _BYTES] = field(name="keep-storage", default=0)
    """Below 1.48, bytes: the old name of ``reserved_space``."""

    reserved_space: Annotated[int, _BYTES] = field(name="reserved-space", default=0)
    """Bytes that are always kept."""

    max_used_space: Annotated[int, _BYTES] = field(name="max-used-space", default=0)
    """Bytes that the cache may take; 0 is any."""

    min_free_space: Annotated[int, _BYTES] = field(name="min-free-space", default=0)
    """Bytes of the disk that shall be free."""


@group.endpoint(
    "POST",
    "/build/cancel",
    operation="cancel",
    result=NoContent(status=200),
    since=Version(1, 39),
)
class BuildCancel(Request):
    """Cancel a build; one that is not there is no error."""

    id: str = ""
    """What the build was given as ``build_id``."""


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
