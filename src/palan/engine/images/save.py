"""``GET /images/get``: images as one archive.

The archive is an OCI image layout that every version of ``docker load`` understands, too:
``manifest.json`` lists the same blobs, of an index those of this machine's image.  Blobs are
saved as they are stored, so that they have the same digests where they are loaded.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

import msgspec
import structlog

from palan.api.errors import InternalError, NotFound
from palan.engine.images.archive_images import NAME_ANNOTATION, REF_ANNOTATION
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.formats import OCI_INDEX, Descriptor, Index, PlatformField
from palan.engine.images.image import Image
from palan.engine.images.lookup import Match, find, for_platform
from palan.engine.images.platform import Platform
from palan.engine.images.reference import is_digest, parse
from palan.engine.threads import in_thread
from palan.host.archive.headers import BLOCK, Entry, Kind, encode_header
from palan.store.images import ManifestRecord, TargetRecord


__all__ = ["Export"]

_PIECE: Final = 1 << 20
_log = structlog.get_logger("palan.engine.images")


@dataclass(slots=True)
class Export:
    """The images to save, looked up before the answer begins.

    Attributes:
        images: the name of each image in events, by its id.
    """

    catalog: Catalog
    images: dict[str, str] = field(default_factory=dict)
    _descriptors: list[Descriptor] = field(default_factory=list)
    _blobs: dict[str, int] = field(default_factory=dict)
    _manifests: dict[str, tuple[ManifestRecord, list[str]]] = field(default_factory=dict)

    def add(self, text: str, platforms: Sequence[Platform]) -> None:
        """Add the image that ``text`` means, or all tags of a repository.

        Raises:
            NotFound: there is no such image, or not for any of these platforms.
            InvalidParameter: the text is malformed.
        """
        for match in self._matches(text):
            name = match.name.name if match.name else ""
            chosen = self._chosen(match, text, platforms) if platforms else None
            self._add(match, name, chosen, whole=len(platforms) != 1)

    def _chosen(self, match: Match, text: str, platforms: Sequence[Platform]) -> list[Image]:
        """Return the images for some platforms; of several, some may be missing."""
        chosen: list[Image] = []
        missing = ""
        for platform in platforms:
            try:
                chosen.append(for_platform(self.catalog, match, text, platform))
            except NotFound as error:
                missing = missing or error.message
        if not chosen:
            raise NotFound(f"no suitable export target found: {missing}")
        return chosen

    def _matches(self, text: str) -> Iterable[Match]:
        """Return the images of a text; a name without a tag means all tags of the repository."""
        if not is_digest(text):
            try:
                match = find(self.catalog, text)
            except NotFound:
                match = None
            if match is not None and match.name is None:
                return [match]
            reference = parse(text)
            if reference.is_bare:
                prefix = f"{reference.repository}:"
                tags = sorted(name for name in self.catalog.names if name.startswith(prefix))
                if tags:
                    return [find(self.catalog, name) for name in tags]
        return [find(self.catalog, text)]

    def _add(self, match: Match, name: str, chosen: list[Image] | None, *, whole: bool) -> None:
        target, main = match.target, match.image
        self.images.setdefault(main.id, parse(name).familiar if name else main.id)
        records = [manifest for manifest in target.manifests if manifest.here]
        if chosen is not None:
            wanted = {image.id for image in chosen}
            main = main if main.id in wanted else chosen[0]
            about = {record.digest for record in records if record.image in wanted}
            records = [
                record
                for record in records
                if record.image in wanted
                or (whole and (record.kind == "index" or record.subject in about))
            ]
        top: TargetRecord | ManifestRecord = target
        if not whole:
            top = next(record for record in records if record.image == main.id)
            records = [record for record in records if record is top]
        self._descriptors.append(_described(_descriptor(top), name))
        self._blobs[top.digest] = top.size
        for record in records:
            self._blobs[record.digest] = record.size
            self._blobs.update((blob.digest, blob.size) for blob in record.blobs)
            # Programs that read only this document take the last image with a name.
            if record.image == main.id:
                _, names = self._manifests.setdefault(record.image, (record, []))
                if name:
                    names.append(parse(name).familiar)

    # ---- the archive ------------------------------------------------------------

    def _check(self) -> None:
        """Check that all blobs exist with the right lengths.  Blocking.

        Raises:
            InternalError: a blob is missing, or has another length.
        """
        for digest, size in self._blobs.items():
            content = self.catalog.content
            if not content.path(digest).exists():
                raise InternalError(f"content digest {digest}: not found")
            if not content.has_complete(digest, size):
                raise content.mark_damaged(digest)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the archive; its blobs are pinned until it was sent."""
        with self.catalog.lease() as lease:
            self._pin(lease)
            await in_thread(self._check)
            yield self._directories()
            for digest in sorted(self._blobs):
                async for piece in self._blob(digest):
                    yield piece
            yield self._documents() + bytes(2 * BLOCK)

    def _pin(self, lease: Lease) -> None:
        for digest in self._blobs:
            lease.blob(digest)

    def _directories(self) -> bytes:
        if not self._blobs:
            return b""
        return b"".join(
            encode_header(Entry(name, Kind.DIRECTORY, mode=0o755))
            for name in ("blobs/", "blobs/sha256/")
        )

    async def _blob(self, digest: str) -> AsyncIterator[bytes]:
        size = self._blobs[digest]
        header = encode_header(Entry(f"blobs/sha256/{digest[7:]}", mode=0o444, size=size))
        file: IO[bytes] = await in_thread(lambda: self.catalog.content.path(digest).open("rb"))
        found = hashlib.sha256()

        def read() -> bytes:
            piece = file.read(_PIECE)
            found.update(piece)
            return piece

        try:
            yield header + await in_thread(read)
            while piece := await in_thread(read):
                yield piece
        finally:
            file.close()
        if f"sha256:{found.hexdigest()}" != digest:
            # The status was sent already: the archive is cut off.
            _log.error("an image is damaged", digest=digest)
            raise self.catalog.content.mark_damaged(digest)
        if size % BLOCK:
            yield bytes(-size % BLOCK)

    def _documents(self) -> bytes:
        index = msgspec.json.encode(Index(media_type=OCI_INDEX, manifests=self._descriptors))
        documents = [("index.json", 0o644, index)]
        if self._manifests:
            documents.append(("manifest.json", 0o644, msgspec.json.encode(self._docker_manifest())))
        documents.append(("oci-layout", 0o444, b'{"imageLayoutVersion":"1.0.0"}'))
        return b"".join(
            encode_header(Entry(name, mode=mode, size=len(data))) + data + bytes(-len(data) % BLOCK)
            for name, mode, data in documents
        )

    def _docker_manifest(self) -> list[dict[str, Any]]:
        items = []
        for image_id, (record, names) in self._manifests.items():
            layers = [blob.digest for blob in record.blobs if blob.digest != image_id]
            items.append(
                {
                    "Config": f"blobs/sha256/{image_id[7:]}",
                    "RepoTags": list(dict.fromkeys(names)) or None,
                    "Layers": [f"blobs/sha256/{digest[7:]}" for digest in layers],
                }
            )
        return items


def _descriptor(record: TargetRecord | ManifestRecord) -> Descriptor:
    descriptor = Descriptor(media_type=record.media_type, digest=record.digest, size=record.size)
    if isinstance(record, ManifestRecord) and record.platform_in_index:
        system, architecture, variant = record.platform
        descriptor.platform = PlatformField(os=system, architecture=architecture, variant=variant)
    return descriptor


def _described(descriptor: Descriptor, name: str) -> Descriptor:
    if name:
        descriptor.annotations = {NAME_ANNOTATION: name, REF_ANNOTATION: parse(name).tag or ""}
    return descriptor
