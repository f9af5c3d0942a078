"""Images: pull, push, import, commit, tag, save, load and remove."""

from typing import Annotated

from msgspec import field

from palan.api._base import Request
from palan.api._common import IDResponse
from palan.api._container_config import ContainerConfig
from palan.api._image_identity import (
    BuildIdentity,
    Identity,
    PullIdentity,
    SignatureIdentity,
    SignatureTimestamp,
    SignerIdentity,
)
from palan.api._image_messages import (
    AttestationStatement,
    DistributionInspect,
    ImageAttestationData,
    ImageConfig,
    ImageData,
    ImageDataSize,
    ImageDeleteResponseItem,
    ImageHistoryResponseItem,
    ImageInspectResponse,
    ImageManifestSize,
    ImageManifestSummary,
    ImageMetadata,
    ImagePruneResponse,
    ImageRootFS,
    ImageSearchResult,
    ImageSummary,
)
from palan.api._oci import DriverData, OCIDescriptor, OCIPlatform
from palan.api._progress import ErrorDetail, ImageID, JSONMessage, ProgressDetail, PushResult
from palan.api.annotations import LABEL, NOT_LABEL, UNTIL, Body, Filter, FilterSet
from palan.api.auth import RegistryAuth
from palan.api.endpoint import Group
from palan.api.filters import Filters
from palan.api.results import Bytes, ByteSource, Json, Messages, NoContent
from palan.api.version import Version


__all__ = [
    "AttestationStatement",
    "BuildIdentity",
    "DistributionInspect",
    "DriverData",
    "ErrorDetail",
    "IDResponse",
    "Identity",
    "ImageAttestationData",
    "ImageAttestations",
    "ImageCommit",
    "ImageConfig",
    "ImageCreate",
    "ImageData",
    "ImageDataSize",
    "ImageDeleteResponseItem",
    "ImageDistributionInspect",
    "ImageGet",
    "ImageGetMany",
    "ImageHistory",
    "ImageHistoryResponseItem",
    "ImageID",
    "ImageInspect",
    "ImageInspectResponse",
    "ImageList",
    "ImageLoad",
    "ImageManifestSize",
    "ImageManifestSummary",
    "ImageMetadata",
    "ImagePrune",
    "ImagePruneResponse",
    "ImagePush",
    "ImageRemove",
    "ImageRootFS",
    "ImageSearch",
    "ImageSearchResult",
    "ImageSummary",
    "ImageTag",
    "JSONMessage",
    "OCIDescriptor",
    "OCIPlatform",
    "ProgressDetail",
    "PullIdentity",
    "PushResult",
    "RegistryAuth",
    "SignatureIdentity",
    "SignatureTimestamp",
    "SignerIdentity",
    "group",
]

group = Group("images", "Images: their content, names and transfer.")


@group.endpoint("GET", "/images/json", operation="list", result=Json(list[ImageSummary]))
class ImageList(Request):
    """List images."""

    all: bool = False
    """Include intermediate images of builds."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("before", "Only images created before this one: name or id."),
            Filter("dangling", "Whether it has no name.", boolean=True),
            LABEL,
            NOT_LABEL,
            Filter("reference", "A pattern for names, such as ``*:latest``."),
            Filter("since", "Only images created after this one: name or id."),
            UNTIL,
        ),
    ] = field(default_factory=Filters)
    shared_size: bool = field(name="shared-size", default=False)
    """Include the size that images share with others."""

    digests: bool = False
    """Has no effect: digests are always included."""

    manifests: bool = False
    """Include all manifests."""

    identity: bool = False
    """With ``manifests``, include the origin of each."""


@group.endpoint(
    "POST", "/images/create", operation="create", result=Messages(JSONMessage), raises=(404,)
)
class ImageCreate(Request):
    """Pull an image from a registry, or import a root filesystem."""

    body: Annotated[ByteSource, Body(optional=True)]
    """The archive to import, when ``from_src`` is ``-``."""

    from_image: str = ""
    """The image to pull."""

    from_src: str = ""
    """The archive to import: a URL, or ``-`` for the body."""

    repo: str = ""
    """The name of the imported image."""

    tag: str = ""
    """A tag or digest; for a pull, empty means all tags."""

    message: str = ""
    """The comment of the imported image."""

    changes: list[str] = field(default_factory=list)
    """Instructions of a Dockerfile to apply to the imported image; each may have several lines."""

    platform: str = ""
    """``os[/arch[/variant]]``."""

    registry_auth: RegistryAuth = None


@group.endpoint(
    "GET",
    "/images/{name...}/json",
    operation="inspect",
    result=Json(ImageInspectResponse),
    raises=(404,),
)
class ImageInspect(Request):
    """Return detailed information about an image."""

    name: str
    manifests: bool = False
    """Include all manifests; not together with ``platform``."""

    platform: str = ""
    """An OCI platform as JSON; by default the one that this machine would run."""


@group.endpoint(
    "GET",
    "/images/{name...}/attestations",
    operation="attestations",
    result=Json(list[AttestationStatement]),
    raises=(404, 501),
    since=Version(1, 55),
)
class ImageAttestations(Request):
    """List the attestations of an image."""

    name: str
    platform: list[str] = field(default_factory=list)
    """OCI platforms as JSON; by default the one that this machine would run."""

    type: list[str] = field(default_factory=list)
    """Types of predicates; all by default."""

    statement: bool = False
    """Include the documents."""


@group.endpoint(
    "GET",
    "/images/{name...}/history",
    operation="history",
    result=Json(list[ImageHistoryResponseItem]),
    raises=(404,),
)
class ImageHistory(Request):
    """List the history of an image, the last step first."""

    name: str
    platform: str = ""
    """An OCI platform as JSON; by default the one that this machine would run."""


@group.endpoint(
    "POST",
    "/images/{name...}/push",
    operation="push",
    result=Messages(JSONMessage),
    raises=(404,),
)
class ImagePush(Request):
    """Push an image to its registry."""

    name: str
    """The repository, which begins with the registry."""

    tag: str = ""
    """The tag; all tags by default."""

    platform: str = ""
    """An OCI platform as JSON; by default all that are on this machine."""

    registry_auth: RegistryAuth = None


@group.endpoint(
    "POST",
    "/images/{name...}/tag",
    operation="tag",
    result=NoContent(status=201),
    raises=(404, 409),
)
class ImageTag(Request):
    """Add a name to an image."""

    name: str
    repo: str = ""
    tag: str = ""
    """The tag; ``latest`` by default."""


@group.endpoint(
    "DELETE",
    "/images/{name...}",
    operation="remove",
    result=Json(list[ImageDeleteResponseItem]),
    raises=(404, 409),
    slow=True,
)
class ImageRemove(Request):
    """Remove a name of an image, and with its last name the image."""

    name: str
    force: bool = False
    """Remove it even if it has several names or stopped containers use it."""

    noprune: bool = False
    """Keep unnamed parent images."""

    platforms: list[str] = field(default_factory=list)
    """OCI platforms as JSON; all by default."""


@group.endpoint("GET", "/images/search", operation="search", result=Json(list[ImageSearchResult]))
class ImageSearch(Request):
    """Search a registry for repositories."""

    term: str
    limit: int | None = None
    """The maximum number of results, up to 100; 25 by default."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter("is-automated", "Whether the registry builds it.", boolean=True),
            Filter("is-official", "Whether it is an official repository.", boolean=True),
            Filter("stars", "The least number of stars.", integer=True),
        ),
    ] = field(default_factory=Filters)
    registry_auth: RegistryAuth = None


@group.endpoint(
    "POST",
    "/images/prune",
    operation="prune",
    result=Json(ImagePruneResponse),
    raises=(409,),
    since=Version(1, 25),
    slow=True,
)
class ImagePrune(Request):
    """Remove unused images."""

    filters: Annotated[
        Filters,
        FilterSet(
            Filter(
                "dangling",
                "Whether only unnamed images are removed; true by default.",
                boolean=True,
            ),
            LABEL,
            NOT_LABEL,
            UNTIL,
        ),
    ] = field(default_factory=Filters)


@group.endpoint(
    "POST",
    "/commit",
    operation="commit",
    result=Json(IDResponse, status=201),
    raises=(404, 409),
    slow=True,
)
class ImageCommit(Request):
    """Create an image from a container."""

    body: ContainerConfig | None = None
    """Changes to the container's configuration."""

    container: str = ""
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    """Pause the container meanwhile."""

    changes: list[str] = field(default_factory=list)
    """Instructions of a Dockerfile; each may have several lines."""


@group.endpoint("GET", "/images/{name...}/get", operation="get", result=Bytes(), raises=(404,))
class ImageGet(Request):
    """Save an image, or all images of a repository, as an archive."""

    name: str
    platform: list[str] = field(default_factory=list)
    """OCI platforms as JSON; by default all that are on this machine."""


@group.endpoint("GET", "/images/get", operation="get_many", result=Bytes(), raises=(404,))
class ImageGetMany(Request):
    """Save several images as one archive."""

    names: list[str] = field(default_factory=list)
    platform: list[str] = field(default_factory=list)
    """OCI platforms as JSON; by default all that are on this machine."""


@group.endpoint("POST", "/images/load", operation="load", result=Messages(JSONMessage))
class ImageLoad(Request):
    """Load images from an archive."""

    body: ByteSource
    quiet: bool = True
    """Report only the names of loaded images."""

    platform: list[str] = field(default_factory=list)
    """OCI platforms as JSON; all by default."""


@group.endpoint(
    "GET",
    "/distribution/{name...}/json",
    operation="distribution_inspect",
    result=Json(DistributionInspect),
    raises=(401, 403, 404),
    since=Version(1, 30),
)
class ImageDistributionInspect(Request):
    """Return information about an image from its registry."""

    name: str
    registry_auth: RegistryAuth = None
