"""Raw two-way streams: attach and exec, with ``Upgrade: tcp`` or without.

The server's half ends when the process has no more output; the client's half ends
with its input, after which output goes on.  A client that goes away altogether only
detaches.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from palan.api.errors import PalanError
from palan.api.results import Session
from palan.api.version import Version
from palan.server.exchange import ClientGone, Exchange, Headers, RawStream
from palan.server.http1 import response_head


__all__ = [
    "MULTIPLEXED_STREAM",
    "RAW_STREAM",
    "close_iterator",
    "multiplexed",
    "serve_session",
]

RAW_STREAM: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM: Final = "application/vnd.docker.multiplexed-stream"

_MULTIPLEXED_SINCE: Final = Version(1, 42)
"""Before, even frames were called a raw stream."""

_LAST_INPUT: Final = 5.0
"""Seconds for what a client sent to reach the process after the client has gone."""

_HEAD_TAKEN: Final = 0.05
"""Seconds that output may wait for the client to have read the answer's head."""

_log = structlog.get_logger(__name__)


def multiplexed(version: Version, *, tty: bool) -> str:
    """The content type of output."""
    return RAW_STREAM if tty or version < _MULTIPLEXED_SINCE else MULTIPLEXED_STREAM


async def serve_session(
    exchange: Exchange, version: Version, headers: Headers, session: Session
) -> None:
    """Make a stream of the connection and join it with a session, to the end of both.

    Args:
        exchange: the request, which may ask for an upgrade.
        version: the client's.
        headers: to go with the head.
        session: what to join the client with; closed in the end.

    Raises:
        ClientGone: the client was gone before the end of output.
    """
    try:
        status, head = _head(exchange.head.headers, version, headers, tty=session.tty)
        await _bridge(await exchange.hijack(status), head, session)
    finally:
        await session.close()


async def _bridge(stream: RawStream, head: bytes, session: Session) -> None:
    """Carry bytes in both directions until there is no more output.

    Raises:
        ClientGone: the client was gone before that.
    """
    feeder = asyncio.create_task(_feed(stream, session))
    try:
        with stream.interruptible():
            await stream.write(head)
            output = session.output()
            head_taken = False
            try:
                async for data in output:
                    if not head_taken:
                        # docker-py drops what it gets in one piece with the head.
                        head_taken = True
                        await stream.until_read(_HEAD_TAKEN)
                    await stream.write(data)
            finally:
                await close_iterator(output)
    except ClientGone:
        # It may have sent its input and left: that is still for the process.
        await asyncio.wait([feeder], timeout=_LAST_INPUT)
        raise
    finally:
        feeder.cancel()
        with suppress(asyncio.CancelledError):
            await feeder


def _head(
    request_headers: Mapping[str, str], version: Version, headers: Headers, *, tty: bool
) -> tuple[int, bytes]:
    """What comes before the stream: 101 if the client asked for it, else 200."""
    if "upgrade" not in request_headers:
        return 200, response_head(200, [("Content-Type", RAW_STREAM), *headers])
    lines = [
        ("Content-Type", multiplexed(version, tty=tty)),
        ("Connection", "Upgrade"),
        ("Upgrade", "tcp"),
        *headers,
    ]
    return 101, response_head(101, lines, reason="UPGRADED")


async def _feed(stream: RawStream, session: Session) -> None:
    """Hand on what the client sends, and that it has sent all."""
    try:
        while data := await stream.read():
            await session.write(data)
        if stream.input_ended:
            await session.close_input()
    except (OSError, PalanError) as error:
        # The process reads no more; its output is no less wanted for that.
        _log.debug("input is not read any more", reason=str(error))
        while await stream.read():
            pass
    except Exception:  # noqa: BLE001 - output goes on whatever becomes of input
        _log.exception("input failed")


async def close_iterator(iterator: AsyncIterator[Any]) -> None:
    """Let whatever produces a stream know that nobody reads on."""
    close = getattr(iterator, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception:  # noqa: BLE001 - the answer is over, there is nobody to tell
        _log.exception("a stream failed to close")
