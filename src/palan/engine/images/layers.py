"""Unpacking layers: each once, several at a time, the lower ones placed before the upper ones."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from palan.api.errors import InternalError, InvalidParameter, PalanError
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.keyed_lock import KeyedLock
from palan.engine.threads import in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import Compression
from palan.host.archive.lower_links import make_lower_links
from palan.host.archive.unpack import Abort, Options, Unpacked, copy_lower_attributes, unpack
from palan.store.images import LayerRecord


__all__ = ["LayerSource", "LayerSupply", "Unpacker", "check_diff_id", "unpacking_failed"]

_WORKERS: Final = max(2, min(4, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer as a blob.

    Attributes:
        blob: the digest of the blob.
        diff_id: the expected digest of the uncompressed archive.
        chain_id: the id of the layer together with those below it.
        compression: the compression of the blob.
    """

    blob: str
    diff_id: str
    chain_id: str
    compression: Compression


class LayerSupply(Protocol):
    """Supplies layers that are not unpacked yet."""

    async def unpack(self, source: LayerSource, directory: Path) -> Unpacked:
        """Unpack a layer into an empty directory, and verify its diff id."""

    def on_placed(self, source: LayerSource) -> None:
        """Take note that a layer has its place."""


def check_diff_id(source: LayerSource, unpacked: Unpacked, *, hashed: bool) -> None:
    """Check that an unpacked layer has the diff id of the image's configuration.

    Args:
        source: the layer.
        unpacked: the result of unpacking it.
        hashed: whether the uncompressed archive was hashed; if not, the blob is the
            uncompressed archive, and was verified.

    Raises:
        InvalidParameter: it has another one.
    """
    found = unpacked.digest if hashed else source.blob
    if found != source.diff_id:
        raise _mismatch(f"layer {source.blob}", found, source.diff_id)


def unpacking_failed(what: str, error: ArchiveError | OSError) -> PalanError:
    """Return the error for the client: a malformed archive is its mistake, a full disk is not."""
    if isinstance(error, ArchiveError):
        return InvalidParameter(f"failed to unpack {what}: {error}")
    return InternalError(f"failed to unpack {what}: {error.strerror or error}")


class Unpacker:
    """Makes the directories of layers."""

    def __init__(self, catalog: Catalog, tmp: Path, dispose: Callable[[Path], object]) -> None:
        """Unpack into ``catalog``'s layers.

        Args:
            catalog: has the layers.
            tmp: the directory in which layers are unpacked before they get their place.
            dispose: removes a directory tree in the background.
        """
        self._catalog = catalog
        self._tmp = tmp
        self._dispose = dispose
        self._slots = asyncio.Semaphore(_WORKERS)
        self.alone: Final = KeyedLock().alone
        """Locks the making of the layer with a chain id, see :meth:`KeyedLock.alone`."""

    async def ensure(
        self, sources: Sequence[LayerSource], lease: Lease, supply: LayerSupply | None = None
    ) -> list[LayerRecord]:
        """Unpack those layers of an image that are not unpacked yet; return all of them.

        Args:
            sources: the layers, the lowest first.
            lease: pins them until rows refer to them.
            supply: unpacks layers; None for the content store.

        Raises:
            InvalidParameter: a layer is damaged, or has another diff id.
            InternalError: the file system refuses.
        """
        tasks: list[asyncio.Task[LayerRecord]] = []
        lower: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                for source in sources:
                    lease.layer(source.chain_id)
                    before = tasks[-1] if tasks else None
                    task = self._layer(source, tuple(lower), before, supply or self)
                    tasks.append(group.create_task(task))
                    lower.append(source.chain_id)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def has(self, chain_id: str) -> bool:
        """Whether a layer is unpacked, and its directory exists."""
        directory = self._catalog.layer_directory(chain_id)
        return chain_id in self._catalog.layers and directory.is_dir()

    async def _layer(
        self,
        source: LayerSource,
        lower: tuple[str, ...],
        before: "asyncio.Task[LayerRecord] | None",
        supply: LayerSupply,
    ) -> LayerRecord:
        async with self.alone(source.chain_id):
            if self.has(source.chain_id):
                record = self._catalog.layers[source.chain_id]
            else:
                async with self.staging() as staging:
                    unpacked = await supply.unpack(source, staging / "diff")
                    if before is not None:
                        await asyncio.wait((before,))
                        if before.cancelled() or before.exception() is not None:
                            raise asyncio.CancelledError
                    record = await self.place(
                        staging, source.chain_id, source.diff_id, unpacked, lower
                    )
        supply.on_placed(source)
        return record

    async def unpack(
        self, source: LayerSource, directory: Path, *, verify: bool = False
    ) -> Unpacked:
        """Unpack a layer from the content store.

        Args:
            source: the layer.
            directory: an empty directory.
            verify: verify the blob, which was written some time ago and may be damaged.

        Raises:
            InvalidParameter: it is damaged, or has another diff id.
            InternalError: the file system refuses.
        """
        async with self._slots:
            abort = Abort()
            return await in_thread(
                lambda: self._unpack(source, directory, abort, verify=verify), abort
            )

    def on_placed(self, source: LayerSource) -> None:
        """Do nothing: no progress is reported."""

    def _unpack(
        self, source: LayerSource, directory: Path, abort: Abort, *, verify: bool
    ) -> Unpacked:
        what = f"layer {source.blob}"
        # Without compression the digest of the blob is the diff id.
        if not source.compression and source.blob != source.diff_id:
            raise _mismatch(what, source.blob, source.diff_id)
        hashed = verify or bool(source.compression)
        options = Options(digest=hashed, whiteouts="overlay")
        try:
            with self._catalog.content.path(source.blob).open("rb") as blob:
                unpacked = unpack(blob, directory, source.compression, options, abort=abort)
        except (ArchiveError, OSError) as error:
            raise unpacking_failed(what, error) from None
        check_diff_id(source, unpacked, hashed=hashed)
        return unpacked

    @asynccontextmanager
    async def staging(self) -> AsyncIterator[Path]:
        """Yield a directory with an empty ``diff``; remove it in the end unless it was placed."""
        staging = Path(tempfile.mkdtemp(dir=self._tmp, prefix="layer-"))
        try:
            (staging / "diff").mkdir(mode=0o755)
            (staging / "diff").chmod(0o755)
            yield staging
        finally:
            self._discard(staging)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a directory for incomplete files; remove it in the end."""
        directory = Path(tempfile.mkdtemp(dir=self._tmp, prefix="images-"))
        try:
            yield directory
        finally:
            self._dispose(directory)

    async def place(
        self,
        staging: Path,
        chain_id: str,
        diff_id: str,
        unpacked: Unpacked,
        lower: Sequence[str],
    ) -> LayerRecord:
        """Move an unpacked layer to its place; the caller holds the lock :attr:`alone`."""
        directories = [self._catalog.layer_directory(each) for each in reversed(lower)]
        abort = Abort()

        def complete() -> None:
            diff = staging / "diff"
            make_lower_links(diff, unpacked.lower_links, directories, abort.check)
            copy_lower_attributes(diff, unpacked.implicit, directories, abort.check)

        if unpacked.lower_links or (directories and unpacked.implicit):
            try:
                await in_thread(complete, abort)
            except (ArchiveError, OSError) as error:
                raise unpacking_failed(f"layer {diff_id}", error) from None
        return self._move_to_place(staging, LayerRecord(chain_id, diff_id, unpacked.size))

    def _move_to_place(self, staging: Path, record: LayerRecord) -> LayerRecord:
        staging.rename(self._catalog.layer_directory(record.chain_id).parent)
        self._catalog.layers[record.chain_id] = record
        return record

    def _discard(self, staging: Path) -> None:
        if staging.exists():
            self._dispose(staging)


def _mismatch(what: str, found: str, wanted: str) -> InvalidParameter:
    return InvalidParameter(
        f"{what} does not match the image configuration: its uncompressed content has the"
        f" digest {found}, expected {wanted}"
    )
