"""``POST /images/create?fromImage=``: pulls images from registries.

The name is resolved first, so that an unknown name gives an error status and not a line in
a stream.  Then the documents (index, manifest, configuration) are downloaded, and the layers
that they list are downloaded, verified, inflated and unpacked at the same time, several at
once.  In the end all content is moved into the store; until then it consists of files in
:mod:`~palan.engine.images.downloads`.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from palan.api.errors import Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.images import ImageCreate, JSONMessage
from palan.engine.images.catalog import Lease
from palan.engine.images.context import ImageContext
from palan.engine.images.formats import (
    INDEXES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    decode,
    digest_of,
    is_index,
)
from palan.engine.images.image import Image
from palan.engine.images.image_download import ACCEPT, UNKNOWN_SIZE, ImageDownload, document
from palan.engine.images.ingest import add_image, examine
from palan.engine.images.platform import Platform, host_platform, parse_specifier
from palan.engine.images.progress import Progress
from palan.engine.images.reference import Reference, is_digest, parse
from palan.engine.images.remote import failure, first_answer, open_session
from palan.engine.threads import in_thread
from palan.registry.repository import ManifestInfo, Repository
from palan.registry.server import Server
from palan.store.images import TargetRecord


__all__ = ["Pull"]

_log = structlog.get_logger("palan.engine.images")

_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+"
_ATTESTED: Final = "vnd.docker.reference.digest"
_RESERVED: Final = "scratch"  # in a Dockerfile, it stands for no image
_MAX_INDEXES: Final = 100
_UNKNOWN_PLATFORM: Final = 1000
"""The rank of a manifest without a platform, below all others."""


@dataclass(slots=True)
class _Wanted:
    """An image that a name means.

    Attributes:
        name: the name that will point at it.
        target: the index or manifest that the name means.
        manifest: the manifest of the image.
        attestations: the manifests of statements about the image.
        sources: the repositories that have the rest.
        complete: whether all its content is here.
        known: whether the name already points at it.
    """

    name: Reference
    target: Descriptor
    manifest: Descriptor
    attestations: list[Descriptor]
    sources: Sequence[Repository]
    complete: bool = False
    known: bool = False


class Pull:
    """One pull."""

    def __init__(self, context: ImageContext, request: ImageCreate) -> None:
        """Check the request.

        Args:
            context: the images.
            request: the request.

        Raises:
            InvalidParameter: the request is malformed.
            Forbidden: the name is reserved and means no image.
        """
        self._context = context
        self._catalog = context.catalog
        self._reference = _named(request)
        if self._reference.familiar_repository == _RESERVED:
            raise Forbidden(f"'{_RESERVED}' is a reserved name")
        self._platform = parse_specifier(request.platform) if request.platform else None
        self._session = open_session(
            context.surroundings.config, self._reference.domain, request.registry_auth, mirrors=True
        )

    async def messages(self) -> AsyncGenerator[JSONMessage, None]:
        """Pull, and yield the lines to send."""
        with self._session as session:
            servers = await in_thread(session.servers, session.aborter.abort)
            names = [self._reference]
            if self._reference.is_bare:
                names = await self._all_tags(servers)
            for name in names:
                with self._catalog.lease() as lease:
                    async with aclosing(self._pull(name, servers, lease)) as lines:
                        async for message in lines:
                            yield message

    async def _all_tags(self, servers: Sequence[Server]) -> list[Reference]:
        bare = self._reference
        with failure(bare, "pull", f'failed to list the tags of "{bare}"'):
            tags, _ = await in_thread(
                lambda: first_answer(servers, bare.path, lambda there: list(there.tags())),
                self._session.aborter.abort,
            )
        names = []
        for tag in tags:
            try:
                names.append(bare.with_tag(tag))
            except InvalidParameter:
                _log.warning("a tag of the registry is none", repository=str(bare))
        if not names:
            raise NotFound(f"{bare.familiar_repository} has no tags")
        return names

    async def _pull(
        self, name: Reference, servers: Sequence[Server], lease: Lease
    ) -> AsyncGenerator[JSONMessage, None]:
        wanted = await self._resolve(name, servers, lease)
        yield JSONMessage(status=f"Pulling from {name.path}", id=name.tag or name.familiar)
        if not wanted.complete:
            progress = Progress()
            download = ImageDownload(self._context, self._session, wanted.sources, progress, lease)
            with failure(name, "pull"):
                work = download.run(wanted.manifest, wanted.attestations)
                async with aclosing(progress.during(work)) as lines:
                    async for message in lines:
                        yield message
        content = self._catalog.content
        examined = await in_thread(lambda: examine(content, wanted.target))
        await add_image(
            self._catalog,
            self._context.unpacker,
            examined,
            [name],
            lease,
            pulled=name.repository,
            report=lambda image: self._report(image, name),
        )
        yield JSONMessage(status=f"Digest: {wanted.target.digest}")
        how = "Image is up to date" if wanted.known else "Downloaded newer image"
        yield JSONMessage(status=f"Status: {how} for {name.familiar}")
        for warning in self._mismatch(wanted, examined.target):
            yield JSONMessage(status=warning)

    def _report(self, image: Image, name: Reference) -> None:
        attributes = {**image.labels, "name": name.familiar_repository}
        self._context.surroundings.events.publish("image", "pull", name.familiar, attributes)

    def _mismatch(self, wanted: _Wanted, target: TargetRecord) -> Iterator[str]:
        """Yield warnings about an image without an index that is not for the platform."""
        for manifest in target.manifests:
            actual = Platform(*manifest.platform)
            if (
                manifest.digest == wanted.manifest.digest
                and self._platform is not None
                and actual.rank(self._platform) is None
            ):
                # In the words of dockerd's classic store.
                yield (
                    f"WARNING: image with reference {wanted.name.familiar} was found but does not"
                    f" match the specified platform: wanted {self._platform}, actual: {actual}"
                )

    # ---- what a name means -----------------------------------------------------------

    async def _resolve(self, name: Reference, servers: Sequence[Server], lease: Lease) -> _Wanted:
        with failure(name, "pull", f'failed to resolve reference "{name}"'):
            found, sources = await in_thread(
                lambda: first_answer(servers, name.path, lambda there: _find(there, name)),
                self._session.aborter.abort,
            )
            asked = Descriptor(digest=found.digest, size=UNKNOWN_SIZE)
            if not found.data and not found.digest:
                raise InternalError("the registry sent an empty manifest")
            data = found.data or await document(self._context, self._session, asked, sources, lease)
        digest = found.digest or digest_of(data)
        if digest_of(data) != digest:
            raise InternalError(f"manifest verification failed for digest {digest}")
        lease.blob(digest)
        await in_thread(lambda: self._catalog.content.put(data))
        # Decoding a large one takes long.
        media_type, index = await in_thread(lambda: _read(data, found.media_type))
        target = Descriptor(media_type=media_type, digest=digest, size=len(data))
        parts = None
        if index is not None:
            with failure(name, "pull"):
                parts = await self._parts(index, sources, lease, set())
        wanted = self._choose(name, target, parts, sources)
        await self._look(wanted, lease)
        return wanted

    async def _parts(
        self, index: Index, sources: Sequence[Repository], lease: Lease, seen: set[str]
    ) -> list[Descriptor]:
        """Return the manifests of an index and of nested indexes not in ``seen``."""
        parts: list[Descriptor] = []
        for part in index.manifests:
            if part.media_type not in INDEXES or not is_digest(part.digest):
                parts.append(part)
            elif part.digest not in seen:
                seen.add(part.digest)
                if len(seen) > _MAX_INDEXES:
                    raise InvalidParameter(f"{part.digest} is one of too many indexes in an index")
                inner = await document(self._context, self._session, part, sources, lease)
                _, within = await in_thread(partial(_read, inner, part.media_type))
                if within is not None:
                    parts += await self._parts(within, sources, lease, seen)
        return parts

    def _choose(
        self,
        name: Reference,
        target: Descriptor,
        parts: list[Descriptor] | None,
        sources: Sequence[Repository],
    ) -> _Wanted:
        if parts is None:
            return _Wanted(name, target, target, [], sources)
        platform = self._platform or host_platform()
        chosen = _best(parts, platform)
        if chosen is None:
            raise NotFound(
                f"no matching manifest for {platform} in the manifest list entries:"
                " no match for platform in manifest: not found"
            )
        attestations = [
            each
            for each in parts
            if each.annotations.get(_ATTESTED) == chosen.digest and is_digest(each.digest)
        ]
        return _Wanted(name, target, chosen, attestations, sources)

    async def _look(self, wanted: _Wanted, lease: Lease) -> None:
        """Find out whether the image is here, and under this name."""
        known = self._catalog.targets.get(wanted.target.digest)
        manifests = known.manifests if known else []
        here = [each for each in manifests if each.digest == wanted.manifest.digest]
        if known is None or not here:
            return
        # It may be removed meanwhile.
        lease.blob(wanted.manifest.digest)
        for blob in here[0].blobs:
            lease.blob(blob.digest)
        wanted.complete = await in_thread(lambda: self._catalog.is_whole(known, here[0]))
        wanted.known = wanted.complete and self._is_named(wanted.name, known)

    def _is_named(self, name: Reference, target: TargetRecord) -> bool:
        if name.digest is None:
            record = self._catalog.names.get(str(name))
            return record is not None and record.target == target.digest
        return any(
            record.target == target.digest and parse(record.name).repository == name.repository
            for record in self._catalog.names.values()
        )


def _named(request: ImageCreate) -> Reference:
    """Return the reference to pull; without tag and digest, it means all tags.

    Raises:
        InvalidParameter: the reference or its tag is malformed.
    """
    reference = parse(request.from_image)
    if is_digest(request.tag):
        reference = replace(reference, digest=request.tag)
    elif request.tag:
        return replace(reference, digest=None).with_tag(request.tag)
    # A digest is sufficient; a tag before it is ignored.
    return replace(reference, tag=None) if reference.digest else reference


def _find(repository: Repository, name: Reference) -> ManifestInfo:
    """Resolve a name; download the document if the server does not send its digest otherwise."""
    what = name.digest or name.tag or ""
    found = repository.find(what, ACCEPT)
    return found if found.digest else repository.fetch(what, ACCEPT)


def _read(data: bytes, said: str) -> tuple[str, Index | None]:
    """Return the media type of a manifest or an index, and the decoded index.

    Raises:
        InvalidParameter: it is neither, or of an obsolete type.
    """
    media_type = _media_type(data, said)
    return media_type, decode(data, Index, "index") if is_index(media_type, data) else None


def _media_type(data: bytes, said: str) -> str:
    """Return the media type of a manifest: its own, or else that of the response.

    Raises:
        InvalidParameter: the type is obsolete.
    """
    document = decode(data, dict[str, Any], "manifest")
    found = document.get("mediaType")
    media_type = found if isinstance(found, str) and found else said
    if media_type.startswith(_SCHEMA1) or document.get("schemaVersion") == 1:
        raise InvalidParameter(
            "not implemented: manifests of schema version 1 are no longer supported;"
            " the image has to be pushed again as schema version 2 or OCI"
        )
    if "manifests" in document and not is_index(media_type, data):
        return OCI_INDEX
    return media_type if "json" in media_type and "/" in media_type else OCI_MANIFEST


def _best(manifests: Sequence[Descriptor], platform: Platform) -> Descriptor | None:
    """Return the manifest that suits a platform best."""
    best: tuple[int, int, Descriptor] | None = None
    for number, each in enumerate(manifests):
        if not is_digest(each.digest) or _ATTESTED in each.annotations:
            continue
        there = each.as_platform()
        # One without a platform comes last; its configuration has the platform.
        rank = there.rank(platform) if there else _UNKNOWN_PLATFORM
        if rank is not None and (best is None or (rank, number) < best[:2]):
            best = (rank, number, each)
    return best[2] if best else None
