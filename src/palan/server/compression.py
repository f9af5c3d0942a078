"""Compressing an answer on its way out."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final


__all__ = ["gzipped"]

_GZIP: Final = 31
"""``wbits`` for the format of gzip with the largest window."""

_LEVEL: Final = 1
"""The quickest: what an archive has gained by it is nearly as much, and it is a third the work."""

_SMALL: Final = 16 << 10
"""Bytes that are compressed on the spot, in less time than a thread takes to be told."""


async def gzipped(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body as gzip has it."""
    stream = zlib.compressobj(_LEVEL, wbits=_GZIP)

    async def compress(piece: bytes) -> bytes:
        if len(piece) <= _SMALL:
            return stream.compress(piece)
        return await asyncio.to_thread(stream.compress, piece)

    # What it holds back goes out with the next piece that fills a block, or at the end.
    if out := await compress(first):
        yield out
    async for piece in rest:
        if out := await compress(piece):
            yield out
    yield stream.flush()
