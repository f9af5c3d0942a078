"""``POST /images/{name}/push``: pushes images to registries.

Layers that were made here are compressed before their first push.  Apart from that, a name
stands for a manifest or an index, which is pushed unchanged: blobs first, several at once, then
manifests, then the target of the name.  If images of an index are neither here nor in the
repository, only the one for this machine is pushed.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.images import ImagePush, JSONMessage, OCIDescriptor, ProgressDetail, PushResult
from palan.engine.images import describe
from palan.engine.images.catalog import Lease
from palan.engine.images.compress import compress_image
from palan.engine.images.context import ImageContext
from palan.engine.images.lookup import find
from palan.engine.images.platform import Platform, parse_json
from palan.engine.images.progress import Progress
from palan.engine.images.reference import Reference, parse
from palan.engine.images.remote import failure, first_answer, open_session
from palan.engine.threads import in_thread
from palan.registry.refusals import Refused
from palan.registry.repository import Repository
from palan.registry.session import Session
from palan.registry.upload import DamagedBlob, Upload
from palan.store.images import ManifestRecord, TargetRecord


__all__ = ["Push"]

_PIECE: Final = 256 << 10
_UNLIMITED: Final = 10_000
_PATIENCE: Final = 300.0
"""Seconds to wait for a registry, which reads a large blob again before it answers."""

_MAX_MOUNTS: Final = 3
"""Repositories from which mounting a blob is tried before it is uploaded."""


@dataclass(slots=True)
class _Load:
    """The content to push for one name.

    Attributes:
        name: the name.
        top: the manifest or index that the name means in the registry.
        manifests: the manifests below it that are here.
        absent: the manifests below it that are not here.
    """

    name: Reference
    top: TargetRecord | ManifestRecord
    manifests: list[ManifestRecord] = field(default_factory=list)
    absent: list[ManifestRecord] = field(default_factory=list)

    def blobs(self) -> dict[str, int]:
        """Return all blobs with their sizes."""
        return {blob.digest: blob.size for m in self.manifests for blob in m.blobs}

    def layers(self) -> list[str]:
        """Return the blobs to report on: layers of images."""
        return list(
            dict.fromkeys(
                blob.digest
                for manifest in self.manifests
                if manifest.kind == "image"
                for blob in manifest.blobs
                if blob.digest != manifest.image
            )
        )


class Push:
    """One push."""

    def __init__(self, context: ImageContext, request: ImagePush) -> None:
        """Check the request.

        Args:
            context: the images.
            request: the request.

        Raises:
            InvalidParameter: the request is malformed.
        """
        self._context = context
        self._catalog = context.catalog
        reference = parse(request.name)
        if reference.digest is not None:
            raise InvalidParameter("cannot push a digest reference")
        self._reference = reference.with_tag(request.tag) if request.tag else reference
        self._platform = parse_json(request.platform) if request.platform else None
        self._session = open_session(
            context.surroundings.config,
            self._reference.domain,
            request.registry_auth,
            timeout=_PATIENCE,
        )

    async def messages(self) -> AsyncGenerator[JSONMessage, None]:
        """Push, and yield the lines to send."""
        reference = self._reference
        yield JSONMessage(status=f"The push refers to repository [{reference.familiar_repository}]")
        with self._session as session:
            for name in self._names():
                with self._catalog.lease() as lease:
                    async with aclosing(self._push(name, session, lease)) as lines:
                        async for message in lines:
                            yield message

    def _names(self) -> list[Reference]:
        reference = self._reference
        if reference.tag is not None:
            if str(reference) not in self._catalog.names:
                raise NotFound(f"tag does not exist: {reference.familiar}")
            return [reference]
        prefix = f"{reference.repository}:"
        names = sorted(name for name in self._catalog.names if name.startswith(prefix))
        if not names:
            raise NotFound(
                f"An image does not exist locally with the tag: {reference.familiar_repository}"
            )
        return [parse(name) for name in names]

    async def _push(
        self, name: Reference, session: Session, lease: Lease
    ) -> AsyncGenerator[JSONMessage, None]:
        progress = Progress()
        async with aclosing(
            progress.during(compress_image(self._context, name, lease, progress))
        ) as lines:
            async for message in lines:
                yield message
        load = self._load(name, lease)
        original = load.top
        progress = Progress()
        upload = ImageUpload(self._context, session, load, progress)
        with failure(name, "push"):
            async with aclosing(progress.during(upload.run())) as lines:
                async for message in lines:
                    yield message
        top = load.top
        self._context.surroundings.events.publish(
            "image",
            "push",
            name.familiar,
            {**find(self._catalog, str(name)).image.labels, "name": name.familiar_repository},
        )
        yield JSONMessage(status=f"{name.tag}: digest: {top.digest} size: {top.size}")
        result = PushResult(tag=name.tag or "", digest=top.digest, size=top.size)
        yield JSONMessage(progress_detail=ProgressDetail(), aux=result)
        if top is not original:
            yield JSONMessage(progress_detail=ProgressDetail(), aux=_partial_push(original, top))

    def _load(self, name: Reference, lease: Lease) -> _Load:
        """Return the content to push, which is pinned."""
        match = find(self._catalog, str(name))
        target = match.target
        load = _Load(name, target)
        if self._platform is not None:
            _choose(load, target, self._one(target, name, self._platform))
        else:
            for manifest in target.manifests:
                there = manifest.image in self._catalog.images or (
                    manifest.kind != "image" and manifest.here
                )
                (load.manifests if there else load.absent).append(manifest)
        lease.blob(target.digest)
        for manifest in target.manifests:
            if manifest.here:
                lease.blob(manifest.digest)
                for blob in manifest.blobs:
                    lease.blob(blob.digest)
        return load

    def _one(self, target: TargetRecord, name: Reference, platform: Platform) -> ManifestRecord:
        image = self._catalog.choose(target, platform, strict=True)
        for manifest in target.manifests:
            if image is not None and manifest.image == image.id:
                return manifest
        raise NotFound(
            f"image with reference {name.familiar} was found but does not provide the"
            f" specified platform ({platform})"
        )


def _choose(load: _Load, target: TargetRecord, manifest: ManifestRecord) -> None:
    """Reduce a load to one manifest of an index."""
    load.manifests = [manifest]
    load.absent = []
    load.top = target if manifest.digest == target.digest else manifest


def _partial_push(index: TargetRecord | ManifestRecord, manifest: Any) -> dict[str, Any]:
    """Return the message by which the docker CLI learns that only a part was pushed."""
    return {
        "manifestPushedInsteadOfIndex": True,
        "originalIndex": _descriptor(index),
        "selectedManifest": _descriptor(manifest),
    }


def _descriptor(record: TargetRecord | ManifestRecord) -> OCIDescriptor:
    return OCIDescriptor(media_type=record.media_type, digest=record.digest, size=record.size)


class ImageUpload:
    """The upload of one name's content to a registry."""

    def __init__(
        self, context: ImageContext, session: Session, load: _Load, progress: Progress
    ) -> None:
        """Prepare.

        Args:
            context: the images.
            session: the registry.
            load: the content to push, which is reduced to the pushed content.
            progress: receives the progress.
        """
        self._context = context
        self._catalog = context.catalog
        self._content = context.catalog.content
        self._session = session
        self._load = load
        self._progress = progress
        self._shown = set[str]()
        config = context.surroundings.config
        self._slots = asyncio.Semaphore(config.max_concurrent_uploads or _UNLIMITED)

    async def run(self) -> None:
        """Push the content.

        Raises:
            PalanError: content is missing here.
            Refused: the registry refuses.
            TransportError: the registry cannot be reached.
            NoCredentials: the registry requires credentials.
        """
        load = self._load
        blobs = load.blobs()
        layers = load.layers()
        self._shown.update(layers)
        for digest in layers:
            self._progress.report(digest, "Preparing")
        first = next(iter(layers or blobs))
        servers = await in_thread(self._session.servers, self._session.aborter.abort)
        has_first, repositories = await in_thread(
            lambda: first_answer(
                servers, load.name.path, lambda there: there.has_blob(first), push=True
            ),
            self._session.aborter.abort,
        )
        repository = repositories[0]
        if load.absent and not await self._has_absent(repository):
            self._reduce_to_main()
            blobs = load.blobs()
        known = {first: has_first}
        try:
            async with asyncio.TaskGroup() as group:
                for digest, size in blobs.items():
                    group.create_task(self._blob(repository, digest, size, known.get(digest)))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await in_thread(lambda: self._manifests(repository), self._session.aborter.abort)

    async def _has_absent(self, repository: Repository) -> bool:
        """Whether the repository has the manifests that are not here."""

        def work() -> bool:
            for manifest in self._load.absent:
                try:
                    repository.find(manifest.digest, manifest.media_type or "*/*")
                except Refused as refusal:
                    if refusal.status == 404:
                        return False
                    raise
            return True

        return await in_thread(work, self._session.aborter.abort)

    def _reduce_to_main(self) -> None:
        """Reduce the load to the manifest for this machine."""
        target = self._load.top
        assert isinstance(target, TargetRecord)  # noqa: S101 - the load was not reduced before
        image = self._catalog.primary(target)
        for manifest in target.manifests:
            if image is not None and manifest.image == image.id:
                _choose(self._load, target, manifest)

    # ---- blobs -----------------------------------------------------------------------

    async def _blob(
        self, repository: Repository, digest: str, size: int, there: bool | None
    ) -> None:
        async with self._slots:
            try:
                relatives = [] if there else self._relatives(digest)
                said = await in_thread(
                    lambda: self._send(repository, digest, size, there, relatives),
                    self._session.aborter.abort,
                )
            except DamagedBlob:
                raise self._content.mark_damaged(digest) from None
            except OSError as error:
                raise InternalError(
                    f"failed to read {digest}: {(error.strerror or 'failed').lower()}"
                ) from None
        self._report(digest, said)

    def _send(
        self,
        repository: Repository,
        digest: str,
        size: int,
        there: bool | None,
        relatives: Sequence[str],
    ) -> str:
        """Mount or upload a blob unless the repository has it; return the status.  Blocking."""
        if repository.has_blob(digest) if there is None else there:
            return "Layer already exists"

        def report(sent: int) -> None:
            self._report(digest, "Pushing", sent, size)

        upload = Upload(repository, digest, size, lambda at: self._pieces(digest, at), report)
        source = upload.mount(relatives)
        if source:
            return f"Mounted from {source}"
        upload.run()
        return "Pushed"

    def _pieces(self, digest: str, offset: int) -> Iterator[bytes]:
        with self._content.path(digest).open("rb", buffering=0) as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def _relatives(self, digest: str) -> Sequence[str]:
        """Return other repositories of the registry that may have a blob."""
        name = self._load.name
        found: dict[str, None] = {}
        prefix = f"{name.domain}/"
        for target in self._catalog.targets.values():
            if digest not in describe.blobs_of([target]):
                continue
            names = [
                record.name
                for record in self._catalog.names.values()
                if record.target == target.digest
            ]
            for image in self._catalog.images_of(target):
                names += [f"{repository}:pulled" for repository in image.record.pulled]
            for text in names:
                if text.startswith(prefix):
                    found[parse(text).path] = None
        found.pop(name.path, None)
        return list(found)[:_MAX_MOUNTS]

    def _report(self, digest: str, status: str, current: int = 0, total: int = 0) -> None:
        if digest in self._shown:
            self._progress.report(digest, status, current, total)

    # ---- manifests -------------------------------------------------------------------

    def _manifests(self, repository: Repository) -> None:
        """Push the manifests.  Blocking."""
        load = self._load
        for manifest in load.manifests:
            if manifest.digest != load.top.digest:
                data = self._content.read(manifest.digest)
                repository.put_manifest(manifest.digest, manifest.media_type, data)
        data = self._content.read(load.top.digest)
        repository.put_manifest(load.name.tag or "", load.top.media_type, data)
