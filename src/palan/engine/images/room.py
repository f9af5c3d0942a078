"""The room ``engine.images``: its operations, and functions for the other rooms.

The id of an image is the digest of its configuration (see
:class:`~palan.engine.images.image.Image`); ``RepoDigests`` and ``Descriptor`` have the
digest of its manifest or index.  ``Size`` follows dockerd's newer store: in a list it is the
space on disk, in inspect the size of the content in a registry.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from palan.api import UNSET, Unset
from palan.api import images as api
from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.api.images import JSONMessage, OCIDescriptor
from palan.api.results import ByteStream, MessageStream, NoContent
from palan.engine.images import describe
from palan.engine.images.attestations import attestations
from palan.engine.images.catalog import Catalog
from palan.engine.images.commit import Commit
from palan.engine.images.context import ImageContext
from palan.engine.images.downloads import Downloads
from palan.engine.images.image import Image
from palan.engine.images.imports import Import, open_source
from palan.engine.images.layers import Unpacker
from palan.engine.images.listing import created_before, select
from palan.engine.images.load import Loading
from palan.engine.images.lookup import find, for_platform
from palan.engine.images.platform import Platform, parse_json
from palan.engine.images.progress import BlobProgress
from palan.engine.images.reference import repository_and_tag
from palan.engine.images.removal import Removal
from palan.engine.images.save import Export
from palan.engine.images.surroundings import Surroundings
from palan.engine.images.tagging import tag
from palan.engine.threads import in_thread
from palan.host.filesystem import remove_tree
from palan.store.images import TargetRecord


__all__ = ["Images"]

# Within the class, ``list`` is an operation.
_Summaries = list[api.ImageSummary]
_Statements = list[api.AttestationStatement]
_Found = list[api.ImageSearchResult]
_History = list[api.ImageHistoryResponseItem]
_Deleted = list[api.ImageDeleteResponseItem]

_log = structlog.get_logger("palan.engine.images")


class Images:
    """The images of an engine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        paths = surroundings.paths
        self._catalog = Catalog(surroundings.db, paths.images, paths.tmp, self._dispose)
        self._unpacker = Unpacker(self._catalog, paths.tmp, self._dispose)
        self._downloads = Downloads(paths.images / "downloads")
        self.context = ImageContext(
            surroundings, self._catalog, self._unpacker, self._downloads, BlobProgress()
        )
        """The state that the operations share, builds included."""
        self._pruning = False

    # ---- for the engine and its other rooms -------------------------------------------

    def load_state(self) -> None:
        """Read the rows; discard and log images with damaged files."""
        self._catalog.load()
        self._downloads.remove_stale()

    def resolve(self, reference: str) -> Image:
        """Return the image of a name, ``name@digest``, id or prefix of an id.

        Raises:
            NotFound: there is no such image.
            InvalidParameter: the text is neither a name nor an id.
        """
        return find(self._catalog, reference).image

    def for_platform(self, reference: str, platform: Platform) -> Image:
        """Return the image of a reference for a given platform, see :meth:`resolve`.

        Raises:
            NotFound: there is no such image, or not for the platform.
        """
        match = find(self._catalog, reference)
        return for_platform(self._catalog, match, reference, platform)

    @contextmanager
    def hold(self, image: Image) -> Iterator[None]:
        """Keep an image from removal until the context ends; meanwhile it can only be hidden.

        A container that is created from it meanwhile keeps it afterwards.
        """
        self._catalog.held[image.id] += 1
        try:
            yield
        finally:
            self._catalog.held[image.id] -= 1
            if not self._catalog.held[image.id]:
                del self._catalog.held[image.id]
                if image.record.hidden:
                    self._surroundings.spawn(self.release(image.id))

    def names(self, image: Image) -> list[str]:
        """Return the names of an image as users write them, sorted."""
        return [describe.familiar(name) for name in self._catalog.names_of(image)]

    def count(self) -> int:
        """Return the number of images that a list shows."""
        return len(self._catalog.visible())

    def size(self, image_id: str) -> int:
        """Return the bytes of the files in an image's layers; 0 if it was removed."""
        image = self._catalog.images.get(image_id)
        return image.unpacked if image else 0

    def descriptor(self, image_id: str) -> OCIDescriptor | Unset:
        """Return the descriptor of an image's manifest, with its platform."""
        image = self._catalog.images.get(image_id)
        found = describe.manifest_descriptor(self._catalog, image) if image else None
        return found or UNSET

    def descendants(self, references: Iterable[str]) -> set[str]:
        """Return the ids of the referenced images and of images made from them."""
        found: set[str] = set()
        for reference in references:
            try:
                found.add(self.resolve(reference).id)
            except (NotFound, InvalidParameter):
                continue
        roots = [self._catalog.images[image_id].record.layers for image_id in found]
        for image in self._catalog.images.values():
            layers = image.record.layers
            if any(root and layers[: len(root)] == root for root in roots):
                found.add(image.id)
        return found

    async def release(self, image_id: str) -> None:
        """Remove a hidden image if its last container was removed."""
        async with self._catalog.lock:
            image = self._catalog.images.get(image_id)
            if image is None or not image.record.hidden:
                return
            used = any(True for _ in self._surroundings.containers.using_image(image_id))
            if not used and image_id not in self._catalog.held:
                await self._catalog.remove(images=[image_id])

    async def collect(self) -> None:
        """Remove hidden images without containers; at start, once containers are known."""
        hidden = [image.id for image in self._catalog.images.values() if image.record.hidden]
        for image_id in hidden:
            await self.release(image_id)
        self._catalog.discard_layers(self._surroundings.containers.layers_in_use())

    async def disk_usage(self) -> tuple[_Summaries, int]:
        """Return all images as in a list, with shared sizes, and the bytes of all together."""
        catalog = self._catalog
        lines = []
        for image in catalog.visible():
            names = catalog.names_of(image)
            line = describe.summary(self._surroundings.containers, catalog, image, names)
            line.shared_size = describe.shared_size(catalog, image)
            # As in dockerd's answer to this request only.
            line.repo_tags = line.repo_tags or None
            line.repo_digests = line.repo_digests or None
            lines.append(line)
        return lines, describe.total_bytes(catalog)

    # ---- operations -----------------------------------------------------------------

    async def list(self, request: api.ImageList) -> _Summaries:
        """``GET /images/json``."""
        if request.identity and not request.manifests:
            raise InvalidParameter("conflicting options: identity requires manifests=1")
        lines, containers = [], self._surroundings.containers
        for image, names in select(self._catalog, request.filters, everything=request.all):
            line = describe.summary(containers, self._catalog, image, names)
            if request.shared_size:
                line.shared_size = describe.shared_size(self._catalog, image)
            if request.manifests:
                line.manifests = describe.manifests(
                    containers, self._catalog, image, identity=request.identity
                )
            lines.append(line)
        return lines

    async def create(self, request: api.ImageCreate) -> MessageStream:
        """``POST /images/create``: pull or import."""
        if request.from_image:
            # Imported on demand: an engine that never pulls need not load it.
            from palan.engine.images.pull import Pull  # noqa: PLC0415

            return MessageStream(Pull(self.context, request).messages())
        return MessageStream(self._import(Import(request), request.body))

    async def push(self, request: api.ImagePush) -> MessageStream:
        """``POST /images/{name}/push``."""
        from palan.engine.images.push import Push  # noqa: PLC0415 - as for pull

        return MessageStream(Push(self.context, request).messages())

    async def search(self, request: api.ImageSearch) -> _Found:
        """``GET /images/search``."""
        from palan.engine.images.search import search  # noqa: PLC0415 - as for pull

        return await search(self._surroundings.config, request)

    async def distribution_inspect(
        self, request: api.ImageDistributionInspect
    ) -> api.DistributionInspect:
        """``GET /distribution/{name}/json``."""
        from palan.engine.images.distribution import (  # noqa: PLC0415 - as for pull
            distribution_inspect,
        )

        return await distribution_inspect(self._surroundings.config, request)

    async def _import(self, plan: Import, body: AsyncIterator[bytes]) -> AsyncIterator[JSONMessage]:
        name = plan.name.familiar if plan.name else ""

        def report(image: Image) -> None:
            if name:
                self._publish("tag", image, name)
            self._publish("import", image, name or image.id)

        async with open_source(plan.source, body) as source:
            if plan.source != "-":
                yield JSONMessage(status=f"Downloading from {plan.shown_source}")
            image = await plan.run(self._catalog, self._unpacker, source, report)
        yield JSONMessage(status=image.id)

    async def commit(self, request: api.ImageCommit) -> api.IDResponse:
        """``POST /commit``."""
        container = self._surroundings.containers.commit_source(request.container)
        commit = Commit(request, container)
        name = commit.name.familiar if commit.name else ""

        def report(image: Image) -> None:
            self._publish("create", image, image.id)
            if name:
                self._publish("tag", image, name)
            container.publish_commit(request.comment, image.id, name)

        image = await commit.run(self._catalog, self._unpacker, report)
        return api.IDResponse(id=image.id)

    async def load(self, request: api.ImageLoad) -> MessageStream:
        """``POST /images/load``."""
        platforms = [parse_json(text) for text in request.platform]
        loading = Loading(
            self._catalog, self._unpacker, self._loaded, platforms, quiet=request.quiet
        )
        return MessageStream(loading.run(request.body))

    def _loaded(self, image: Image, name: str) -> None:
        self._publish("load", image, name)

    async def get(self, request: api.ImageGet) -> ByteStream:
        """``GET /images/{name}/get``."""
        return self._export([request.name], request.platform)

    async def get_many(self, request: api.ImageGetMany) -> ByteStream:
        """``GET /images/get``."""
        return self._export(request.names, request.platform)

    def _export(self, names: Sequence[str], platform: Sequence[str]) -> ByteStream:
        platforms = [parse_json(text) for text in platform]
        export = Export(self._catalog)
        for name in names:
            export.add(name, platforms)
        for image_id, name in export.images.items():
            self._publish("save", self._catalog.images[image_id], name)
        return ByteStream(export.chunks())

    async def inspect(self, request: api.ImageInspect) -> api.ImageInspectResponse:
        """``GET /images/{name}/json``."""
        if request.manifests and request.platform:
            raise InvalidParameter(
                "conflicting options: manifests and platform options cannot both be set"
            )
        image, target = self._chosen(request.name, request.platform)
        chosen = target if request.platform else None
        answer = describe.inspect(self._catalog, image, chosen)
        if request.manifests:
            containers = self._surroundings.containers
            answer.manifests = describe.manifests(containers, self._catalog, image)
        return answer

    async def attestations(self, request: api.ImageAttestations) -> _Statements:
        """``GET /images/{name}/attestations``."""
        return await in_thread(lambda: attestations(self._catalog, request))

    async def history(self, request: api.ImageHistory) -> _History:
        """``GET /images/{name}/history``."""
        image, target = self._chosen(request.name, request.platform, strict=False)
        return describe.history(self._catalog, image, target)

    def _chosen(
        self, name: str, platform: str, *, strict: bool = True
    ) -> tuple[Image, TargetRecord]:
        wanted = parse_json(platform) if platform else None
        match = find(self._catalog, name)
        image = match.image
        if wanted is not None:
            image = for_platform(self._catalog, match, name, wanted, strict=strict)
        return image, match.target

    async def tag(self, request: api.ImageTag) -> NoContent | None:
        """``POST /images/{name}/tag``."""
        name = repository_and_tag(request.repo, request.tag)
        if name is None:
            # As in dockerd 29: no name was created.
            return NoContent(status=200)
        async with self._catalog.lock:
            await tag(self._catalog, request.name, name, self._surroundings.events)
        return None

    async def remove(self, request: api.ImageRemove) -> _Deleted:
        """``DELETE /images/{name}``."""
        platforms = [parse_json(text) for text in request.platforms]
        async with self._catalog.lock:
            removal = Removal(
                self._catalog, self._surroundings.containers, self._surroundings.events
            )
            await removal.remove(
                request.name,
                force=request.force,
                prune=not request.noprune,
                platforms=platforms,
            )
        return removal.done

    async def prune(self, request: api.ImagePrune) -> api.ImagePruneResponse:
        """``POST /images/prune``."""
        filters = request.filters
        dangling = filters.boolean("dangling", default=True)
        until = created_before(filters)
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            removal = Removal(
                self._catalog, self._surroundings.containers, self._surroundings.events
            )
            for image in self._catalog.visible():
                if until is not None and not until(image):
                    continue
                if filters.labels(image.labels):
                    async with self._catalog.lock:
                        await removal.prune(image, dangling=dangling)
            removal.freed += await in_thread(lambda: self._downloads.remove_stale(0))
        finally:
            self._pruning = False
        self._surroundings.events.publish("image", "prune", "", {"reclaimed": str(removal.freed)})
        return api.ImagePruneResponse(
            images_deleted=removal.done or None, space_reclaimed=removal.freed
        )

    # ---- inside ---------------------------------------------------------------------

    def _publish(self, action: str, image: Image, name: str) -> None:
        self._surroundings.events.publish("image", action, image.id, {**image.labels, "name": name})

    def _dispose(self, path: Path) -> None:
        """Remove a directory tree in the background."""
        self._surroundings.spawn(asyncio.to_thread(remove_tree, path))
