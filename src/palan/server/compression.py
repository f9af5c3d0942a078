"""Compression of answers."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final


__all__ = ["gzipped"]

_GZIP: Final = 31
"""``wbits`` for the format of gzip with the largest window."""

_LEVEL: Final = 1
"""The fastest level: archives get nearly as small as with the default, for a third of the time."""

_SMALL: Final = 16 << 10
"""Bytes up to which compressing takes less time than handing over to a thread."""


async def gzipped(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress a body with gzip."""
    stream = zlib.compressobj(_LEVEL, wbits=_GZIP)

    async def compress(piece: bytes) -> bytes:
        if len(piece) <= _SMALL:
            return stream.compress(piece)
        return await asyncio.to_thread(stream.compress, piece)

    # The compressor buffers output until a block is full or the stream ends.
    if out := await compress(first):
        yield out
    async for piece in rest:
        if out := await compress(piece):
            yield out
    yield stream.flush()
