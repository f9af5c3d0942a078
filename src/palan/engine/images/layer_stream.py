"""Making a layer of a stream, which is stored as a blob and unpacked while it arrives."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from palan.api.errors import InternalError
from palan.engine.images.catalog import Catalog, Lease
from palan.engine.images.formats import Descriptor, chain_ids, layer_media_type
from palan.engine.images.layers import Unpacker, unpacking_failed
from palan.engine.threads import Incoming, in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import Compression, detect
from palan.host.archive.layer import LayerCopy, copy_small
from palan.host.archive.unpack import Abort, Options, Unpacked, unpack_pieces


__all__ = ["NewLayer", "copy_layer", "make_layer"]


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer that was made.

    Attributes:
        descriptor: the descriptor of its blob.
        diff_id: the digest of the uncompressed archive.
        empty: the archive has no entries.
    """

    descriptor: Descriptor
    diff_id: str
    empty: bool


async def make_layer(
    catalog: Catalog,
    unpacker: Unpacker,
    source: Incoming,
    directory: Path,
    lease: Lease,
    *,
    what: str,
    lower: Sequence[str] = (),
) -> NewLayer:
    """Make a layer of a stream, on top of others.

    Args:
        catalog: gets the layer.
        unpacker: makes its directory.
        source: the archive, compressed or not.
        directory: a directory for incomplete files.
        lease: pins the blob and the layer.
        what: the name of the archive in messages.
        lower: the diff ids of the layers below it, the lowest first, which exist.

    Raises:
        InvalidParameter: the archive is malformed.
        InternalError: the file system refuses.
    """
    async with unpacker.staging() as staging:
        receiver = _Receiver(source, directory / "layer")
        try:
            abort = Abort(source.abort)
            unpacked = await in_thread(lambda: receiver.unpack(staging / "diff", abort), abort)
        except (ArchiveError, OSError) as error:
            raise unpacking_failed(what, error) from None
        diff_id = unpacked.digest if receiver.compression else receiver.blob_digest
        descriptor = Descriptor(
            media_type=layer_media_type(receiver.compression),
            digest=receiver.blob_digest,
            size=receiver.size,
        )
        made = NewLayer(descriptor, diff_id, empty=not unpacked.entries)
        await _place(catalog, unpacker, staging, directory / "layer", made, unpacked, lease, lower)
    return made


async def copy_layer(
    catalog: Catalog,
    unpacker: Unpacker,
    upper: Path,
    directory: Path,
    lease: Lease,
    *,
    lower: Sequence[str],
    still: bool = False,
) -> NewLayer:
    """Make a layer of the upper directory of an overlay.

    Args:
        catalog: see :func:`make_layer`.
        unpacker: see :func:`make_layer`.
        upper: the upper directory.
        directory: see :func:`make_layer`.
        lease: see :func:`make_layer`.
        lower: see :func:`make_layer`.
        still: whether no process changes the directory meanwhile.

    Raises:
        InternalError: the file system refuses.
    """
    blob = directory / "layer"
    async with unpacker.staging() as staging:
        try:
            small = None
            if still:
                small = await in_thread(lambda: copy_small(upper, blob, staging / "diff"))
            if small is not None:
                unpacked, length = small
            else:
                copy = LayerCopy(upper, blob, staging / "diff")
                unpacked = await in_thread(copy.wait, copy.kill)
                length = copy.length
        except (ArchiveError, OSError) as error:
            raise InternalError(
                f"failed to make a layer of the container: {_reason(error)}"
            ) from None
        descriptor = Descriptor(
            media_type=layer_media_type(""), digest=unpacked.digest, size=length
        )
        made = NewLayer(descriptor, unpacked.digest, empty=not unpacked.entries)
        await _place(catalog, unpacker, staging, blob, made, unpacked, lease, lower)
    return made


def _reason(error: ArchiveError | OSError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


async def _place(  # noqa: PLR0917 - all parts of a layer
    catalog: Catalog,
    unpacker: Unpacker,
    staging: Path,
    blob: Path,
    made: NewLayer,
    unpacked: Unpacked,
    lease: Lease,
    lower: Sequence[str],
) -> None:
    chain = chain_ids([*lower, made.diff_id])
    lease.blob(made.descriptor.digest)
    lease.layer(chain[-1])
    catalog.content.adopt(blob, made.descriptor.digest)
    async with unpacker.alone(chain[-1]):
        if chain[-1] not in catalog.layers:
            await unpacker.place(staging, chain[-1], made.diff_id, unpacked, chain[:-1])


class _Receiver:
    """Reads a stream once, into a blob, a digest and the unpacking child process."""

    def __init__(self, source: Incoming, blob: Path) -> None:
        self.size = 0
        self.blob_digest = ""
        self.compression: Compression = ""
        self._source = source
        self._blob = blob

    def unpack(self, directory: Path, abort: Abort) -> Unpacked:
        """Read the stream to its end, and return the unpacked layer.  Blocking."""
        head = b""
        while len(head) < 6 and (piece := self._source()):
            head += piece
        self.compression = detect(head)
        digest = hashlib.sha256()
        options = Options(digest=bool(self.compression), whiteouts="overlay")
        with self._blob.open("wb") as file:

            def keep(piece: bytes) -> None:
                digest.update(piece)
                self.size += len(piece)
                file.write(piece)

            unpacked = unpack_pieces(
                self._pieces(head),
                directory,
                self.compression,
                options,
                on_piece=keep,
                abort=abort,
            )
        self.blob_digest = f"sha256:{digest.hexdigest()}"
        return unpacked

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        if head:
            yield head
        while piece := self._source():
            yield piece
