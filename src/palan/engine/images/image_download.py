"""Downloading the content of one image from a registry into the store.

Documents come first, then the layers.  One thread downloads a layer into a file, while
another feeds the file's content to the child process that inflates and unpacks it.  The
configuration limits how many layers are downloaded at once, the number of processors how
many are unpacked.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final

import structlog

from palan.api.errors import InternalError, InvalidParameter, PalanError
from palan.engine.images.catalog import Lease
from palan.engine.images.context import ImageContext
from palan.engine.images.download import Damaged, Download
from palan.engine.images.formats import (
    MAX_DOCUMENT,
    Descriptor,
    ImageSpec,
    Manifest,
    chain_ids,
    decode,
    digest_of,
)
from palan.engine.images.ingest import compression_of
from palan.engine.images.layers import LayerSource, check_diff_id, unpacking_failed
from palan.engine.images.progress import Progress
from palan.engine.images.reference import is_digest
from palan.engine.images.remote import first_answer
from palan.engine.threads import in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import detect
from palan.host.archive.unpack import Abort, Options, Unpacked, unpack_pieces
from palan.host.filesystem import remove_tree
from palan.registry.failures import TransportError
from palan.registry.refusals import NoCredentials, Refused
from palan.registry.repository import Repository
from palan.registry.session import Session
from palan.store.content import DamagedContent


__all__ = ["ACCEPT", "UNKNOWN_SIZE", "ImageDownload", "document"]

_log = structlog.get_logger("palan.engine.images")

_UNPACKING: Final = max(2, min(4, os.cpu_count() or 2))
"""Layers of one pull that are unpacked at once, each by a process."""

_MAX_LAYERS: Final = 500
"""The number of lower directories that overlayfs can stack."""

_TIGHT: Final = 128 << 20
"""Bytes of free space below which a failed pull removes its files."""

ACCEPT: Final = (
    "application/vnd.oci.image.index.v1+json"
    ", application/vnd.docker.distribution.manifest.list.v2+json"
    ", application/vnd.oci.image.manifest.v1+json"
    ", application/vnd.docker.distribution.manifest.v2+json"
    ", */*"
)
"""The media types of manifests to accept."""

UNKNOWN_SIZE: Final = -1
_UNLIMITED: Final = 10_000

_CONFIGS: Final = frozenset(
    (
        "",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",
    )
)
_FOREIGN: Final = (".foreign.", ".nondistributable.")


async def document(
    context: ImageContext,
    session: Session,
    descriptor: Descriptor,
    sources: Sequence[Repository],
    lease: Lease,
) -> bytes:
    """Return a manifest or index from the store; download it into the store if absent.

    Args:
        context: the images.
        session: aborts the download.
        descriptor: the document's descriptor; a size below zero is unknown.
        sources: the repositories that have it.
        lease: pins it.

    Raises:
        InternalError: the downloaded document has another digest.
    """
    content = context.catalog.content
    digest = descriptor.digest
    lease.blob(digest)

    def work() -> bytes:
        with contextlib.suppress(FileNotFoundError, DamagedContent):
            return content.read(digest)
        data = _verified(
            sources, lambda there: there.fetch(digest, ACCEPT).data, descriptor, "manifest"
        )
        content.put(data)
        return data

    return await in_thread(work, session.aborter.abort)


def _verified(
    sources: Sequence[Repository],
    fetch: Callable[[Repository], bytes],
    descriptor: Descriptor,
    what: str,
) -> bytes:
    """Download a document from the first source that answers, and verify it.  Blocking.

    Raises:
        InternalError: the digest was wrong twice; once may be a transmission error.
    """

    def ask(there: Repository) -> bytes:
        for _ in range(2):
            data = fetch(there)
            whole = descriptor.size in (len(data), UNKNOWN_SIZE)
            if whole and digest_of(data) == descriptor.digest:
                return data
        raise InternalError(f"{what} verification failed for digest {descriptor.digest}")

    servers = [source.server for source in sources]
    return first_answer(servers, sources[0].name, ask)[0]


class ImageDownload:
    """The download of one image's content, which supplies layers to the unpacker."""

    def __init__(
        self,
        context: ImageContext,
        session: Session,
        sources: Sequence[Repository],
        progress: Progress,
        lease: Lease,
    ) -> None:
        """Prepare.

        Args:
            context: the images.
            session: aborts the download.
            sources: the repositories that have the image, the best first.
            progress: receives the progress.
            lease: pins the content.
        """
        self._context = context
        self._content = context.catalog.content
        self._session = session
        self._sources = sources
        self._progress = progress
        self._lease = lease
        config = context.surroundings.config
        self._attempts = config.max_download_attempts
        self._downloading = asyncio.Semaphore(config.max_concurrent_downloads or _UNLIMITED)
        self._unpacking = asyncio.Semaphore(_UNPACKING)
        self._sizes: dict[str, int] = {}
        self._verified: set[str] = set()
        self._here: set[str] = set()

    async def run(
        self,
        descriptor: Descriptor,
        attestations: Sequence[Descriptor],
    ) -> None:
        """Download the content of an image into the store, and unpack its layers.

        Args:
            descriptor: the descriptor of the image's manifest.
            attestations: the descriptors of manifests of statements about it.

        Raises:
            PalanError: the content is invalid, or the file system refuses.
            Refused: the registry refuses.
            TransportError: the registry cannot be reached.
            NoCredentials: the registry requires credentials.
        """
        manifest = await self._manifest(descriptor)
        _check(manifest, descriptor)
        spec = await self._configuration(manifest.config)
        if len(spec.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid manifest {descriptor.digest}: it has {len(manifest.layers)} layers,"
                f" its configuration has {len(spec.rootfs.diff_ids)}"
            )
        layers = [
            LayerSource(layer.digest, diff_id, chain_id, "")
            for layer, diff_id, chain_id in zip(
                manifest.layers,
                spec.rootfs.diff_ids,
                chain_ids(spec.rootfs.diff_ids),
                strict=True,
            )
        ]
        self._hold_files(manifest.layers)
        needed = list(self._sizes)
        for layer in manifest.layers:
            self._context.blob_progress.follow(layer.digest, self._progress)
        whole = False
        try:
            await self._layers(layers)
            for attestation in attestations:
                needed += await self._attestation(attestation)
            await self._move_to_store(needed)
            whole = True
        finally:
            for layer in manifest.layers:
                self._context.blob_progress.unfollow(layer.digest, self._progress)
            self._context.downloads.release(self._sizes)
            if not whole:
                self._remove_if_full()

    def _hold_files(self, layers: Sequence[Descriptor]) -> None:
        """Keep the files of layers from removal until the image is in the store."""
        for layer in layers:
            if layer.digest not in self._sizes:
                self._context.downloads.hold(layer.digest)
            self._sizes[layer.digest] = layer.size

    # ---- documents -------------------------------------------------------------------

    async def _manifest(self, descriptor: Descriptor) -> Manifest:
        data = await document(self._context, self._session, descriptor, self._sources, self._lease)
        return await in_thread(lambda: decode(data, Manifest, "manifest"))

    async def _configuration(self, descriptor: Descriptor) -> ImageSpec:
        data = await self._small(descriptor, "image configuration")
        return await in_thread(lambda: decode(data, ImageSpec, "image configuration"))

    async def _small(self, descriptor: Descriptor, what: str) -> bytes:
        """Return a blob that is read as a whole."""
        if descriptor.size > MAX_DOCUMENT:
            raise InvalidParameter(
                f"{what} {descriptor.digest} is larger than {MAX_DOCUMENT} bytes"
            )
        content = self._content
        self._lease.blob(descriptor.digest)

        def work() -> bytes:
            with contextlib.suppress(FileNotFoundError, DamagedContent):
                return content.read(descriptor.digest)
            data = _verified(
                self._sources,
                lambda there: there.small_blob(descriptor.digest, descriptor.size),
                descriptor,
                what,
            )
            content.put(data)
            return data

        return await in_thread(work, self._session.aborter.abort)

    # ---- layers ----------------------------------------------------------------------

    async def _layers(self, layers: Sequence[LayerSource]) -> None:
        bare: dict[str, None] = {}
        for layer in layers:
            self._lease.layer(layer.chain_id)
            self._lease.blob(layer.blob)
            unpacked = self._context.unpacker.has(layer.chain_id)
            if unpacked and self._holds(layer.blob):
                self._here.add(layer.chain_id)
                self._progress.report(layer.blob, "Already exists")
                continue
            if unpacked:
                bare[layer.blob] = None
            self._progress.report(layer.blob, "Pulling fs layer")
        try:
            async with asyncio.TaskGroup() as group:
                for digest in bare:
                    group.create_task(self._download_blob(digest))
                group.create_task(self._ensure(layers))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _ensure(self, layers: Sequence[LayerSource]) -> None:
        await self._context.unpacker.ensure(layers, self._lease, self)

    def on_placed(self, source: LayerSource) -> None:
        """Report that a layer is unpacked."""
        if source.chain_id not in self._here:
            self._progress.report(source.blob, "Pull complete")

    async def unpack(self, source: LayerSource, directory: Path) -> Unpacked:
        """Download a layer, and unpack it at the same time.

        Raises:
            PalanError: the download failed, or the layer is invalid.
        """
        async with self._context.downloads.alone(source.blob):
            if self._holds(source.blob):
                there = replace(source, compression=compression_of(self._content, source.blob))
                try:
                    return await self._context.unpacker.unpack(there, directory, verify=True)
                except InvalidParameter as error:
                    _log.error("a blob is damaged", blob=source.blob, error=str(error))
                    self._content.mark_damaged(source.blob)
                    await in_thread(lambda: _make_empty(directory))
            try:
                return await self._stream(source, directory, self._sources)
            except Damaged:
                _log.warning("a download was damaged, and begins again", blob=source.blob)
            await in_thread(lambda: _make_empty(directory))
            try:
                return await self._stream(source, directory, self._other_sources)
            except Damaged as error:
                raise InternalError(str(error)) from None

    @property
    def _other_sources(self) -> Sequence[Repository]:
        """The sources to ask after the first gave wrong content."""
        return self._sources[1:] or self._sources

    def _holds(self, digest: str) -> bool:
        return self._content.has_complete(digest, self._sizes[digest])

    async def _stream(
        self, source: LayerSource, directory: Path, sources: Sequence[Repository]
    ) -> Unpacked:
        download = self._download(source.blob)
        fetch = asyncio.ensure_future(self._run(download, sources))
        tick = asyncio.ensure_future(self._tick(source.blob, fetch))
        try:
            async with self._unpacking:
                abort = Abort(download.abandon)
                unpacked = await in_thread(
                    lambda: _unpack_stream(download, source, directory, abort), abort
                )
            await fetch
        except ConnectionAbortedError:
            await fetch  # raises the reason
            raise
        finally:
            for task in (tick, fetch):
                task.cancel()
                await asyncio.wait((task,))
            if not fetch.cancelled():
                fetch.exception()  # retrieved, or asyncio would log it
        return unpacked

    async def _tick(self, digest: str, fetch: "asyncio.Future[None]") -> None:
        """Report how long unpacking takes after the download."""
        await asyncio.wait((fetch,))
        seconds = 1
        while True:
            self._context.blob_progress.report(digest, "Extracting", seconds)
            await asyncio.sleep(1)
            seconds += 1

    def _download(self, digest: str) -> Download:
        def report(status: str, current: int = 0, total: int = 0, /) -> None:
            self._context.blob_progress.report(digest, status, current, total)

        return Download(digest, self._sizes[digest], self._context.downloads.file(digest), report)

    async def _run(self, download: Download, sources: Sequence[Repository]) -> None:
        async with self._downloading:
            aborter = self._session.aborter
            try:
                await in_thread(
                    lambda: download.run(sources, self._attempts, aborter), aborter.abort
                )
            except OSError as error:
                raise InternalError(
                    f"failed to write {download.digest}: {(error.strerror or 'failed').lower()}"
                ) from None
        self._verified.add(download.digest)

    # ---- blobs -----------------------------------------------------------------------

    async def _download_blob(self, digest: str) -> None:
        """Download a blob into a file, and verify it."""
        async with self._context.downloads.alone(digest):
            there = digest in self._verified and self._context.downloads.file(digest).exists()
            if there or self._holds(digest):
                return
            try:
                await self._run(self._download(digest), self._sources)
            except Damaged:
                try:
                    await self._run(self._download(digest), self._other_sources)
                except Damaged as error:
                    raise InternalError(str(error)) from None

    async def _move_to_store(self, digests: Sequence[str]) -> None:
        """Move files into the store; at the end, as only rows keep content there."""
        for digest in digests:
            await self._download_blob(digest)
        for digest in digests:
            async with self._context.downloads.alone(digest):
                file = self._context.downloads.file(digest)
                if not self._holds(digest):
                    self._content.adopt(file, digest)
                else:  # another pull was faster
                    file.unlink(missing_ok=True)

    def _remove_if_full(self) -> None:
        """Remove the files if the disk is full."""
        with contextlib.suppress(OSError):
            space = os.statvfs(self._context.downloads.file("").parent)
            if space.f_bavail * space.f_frsize < min(
                2 * _TIGHT, _TIGHT + space.f_blocks * space.f_frsize // 100
            ):
                self._context.downloads.remove(self._sizes)

    async def _attestation(self, descriptor: Descriptor) -> list[str]:
        """Download a statement about the image; failures are logged, as the image runs without.

        Returns:
            The blobs of the statement.
        """
        try:
            manifest = await self._manifest(descriptor)
            _check_digests(manifest, descriptor)
            await self._small(manifest.config, "configuration")
            self._hold_files(manifest.layers)
            for layer in manifest.layers:
                self._lease.blob(layer.digest)
                await self._download_blob(layer.digest)
        except (PalanError, Refused, TransportError, NoCredentials) as error:
            if self._session.aborter.aborted:
                raise
            _log.warning(
                "an attestation is not to be had", manifest=descriptor.digest, error=str(error)
            )
            return []
        return [layer.digest for layer in manifest.layers]


def _check(manifest: Manifest, descriptor: Descriptor) -> None:
    """Check that a manifest is one of an image with layers that can be downloaded."""
    _check_digests(manifest, descriptor)
    if manifest.config.media_type not in _CONFIGS:
        raise InvalidParameter(
            f"unsupported media type {manifest.config.media_type}: {descriptor.digest} is no image"
        )
    if len(manifest.layers) > _MAX_LAYERS:
        raise InvalidParameter(f"image {descriptor.digest} has more than {_MAX_LAYERS} layers")
    for layer in manifest.layers:
        if any(word in layer.media_type for word in _FOREIGN):
            raise InvalidParameter(
                f"layer {layer.digest} is foreign ({layer.media_type}): it may only be had from"
                " its owner, and such layers are not supported"
            )
        if layer.media_type.endswith("+encrypted"):
            raise InvalidParameter(
                f"layer {layer.digest} is encrypted ({layer.media_type}), which is not supported"
            )


def _check_digests(manifest: Manifest, descriptor: Descriptor) -> None:
    for part in (manifest.config, *manifest.layers):
        if not is_digest(part.digest):
            raise InvalidParameter(
                f"invalid manifest {descriptor.digest}: not all digests are sha256"
            )
        if part.size < 0:
            raise InvalidParameter(f"invalid manifest {descriptor.digest}: a size is negative")


def _unpack_stream(
    download: Download, source: LayerSource, directory: Path, abort: Abort
) -> Unpacked:
    """Unpack a layer while it is downloaded.  Blocking."""
    pieces = download.pieces()
    head = b""
    while len(head) < 6 and (piece := next(pieces, b"")):
        head += piece
    compression = detect(head)
    options = Options(digest=bool(compression), whiteouts="overlay")
    try:
        unpacked = unpack_pieces(
            chain((head,), pieces), directory, compression, options, abort=abort
        )
    except ConnectionAbortedError:
        raise
    except (ArchiveError, OSError) as error:
        raise unpacking_failed(f"layer {source.blob}", error) from None
    check_diff_id(source, unpacked, hashed=bool(compression))
    return unpacked


def _make_empty(directory: Path) -> None:
    mode = directory.stat().st_mode & 0o7777
    remove_tree(directory)
    directory.mkdir()
    directory.chmod(mode)
