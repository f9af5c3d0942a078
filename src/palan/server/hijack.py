"""Raw two-way streams: attach and exec, with ``Upgrade: tcp`` or without.

The server's half ends with the output of the process. The client's half ends with its
input; output continues after that. A client that closes the whole connection detaches.
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
"""In older versions frames have the content type of a raw stream, too."""

_LAST_INPUT: Final = 5.0
"""Seconds for the last input to reach the process after the client has disconnected."""

_HEAD_READ: Final = 0.05
"""Seconds that the output may wait until the client has read the answer's head."""

_log = structlog.get_logger(__name__)


def multiplexed(version: Version, *, tty: bool) -> str:
    """Return the content type of a container's output."""
    return RAW_STREAM if tty or version < _MULTIPLEXED_SINCE else MULTIPLEXED_STREAM


async def serve_session(
    exchange: Exchange, version: Version, headers: Headers, session: Session
) -> None:
    """Take over the connection and carry bytes between client and session until both end.

    Args:
        exchange: the request, which may ask for an upgrade.
        version: the client's API version.
        headers: headers to send.
        session: the session; closed in the end.

    Raises:
        ClientGone: the client disconnected before the end of the output.
    """
    try:
        status, head = _head(exchange.head.headers, version, headers, tty=session.tty)
        await _bridge(await exchange.hijack(status), head, session)
    finally:
        await session.close()


async def _bridge(stream: RawStream, head: bytes, session: Session) -> None:
    """Carry bytes in both directions until the output ends.

    Raises:
        ClientGone: the client disconnected before that.
    """
    feeder = asyncio.create_task(_feed(stream, session))
    try:
        with stream.interruptible():
            await stream.write(head)
            output = session.output()
            head_read = False
            try:
                async for data in output:
                    if not head_read:
                        # docker-py discards output that arrives in one piece with the head.
                        head_read = True
                        await stream.until_read(_HEAD_READ)
                    await stream.write(data)
            finally:
                await close_iterator(output)
    except ClientGone:
        # The process still gets the input that the client sent before it disconnected.
        await asyncio.wait([feeder], timeout=_LAST_INPUT)
        raise
    finally:
        feeder.cancel()
        with suppress(asyncio.CancelledError):
            await feeder


def _head(
    request_headers: Mapping[str, str], version: Version, headers: Headers, *, tty: bool
) -> tuple[int, bytes]:
    """Return status and head of the answer: 101 if the client asked for an upgrade, else 200."""
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
    """Write the client's input to the session, and close the session's input at its end."""
    try:
        while data := await stream.read():
            await session.write(data)
        if stream.input_ended:
            await session.close_input()
    except (OSError, PalanError) as error:
        # The process no longer reads; its output continues.
        _log.debug("input is not read any more", reason=str(error))
        while await stream.read():
            pass
    except Exception:  # noqa: BLE001 - output continues when input fails
        _log.exception("input failed")


async def close_iterator(iterator: AsyncIterator[Any]) -> None:
    """Close the source of a stream that is no longer read."""
    close = getattr(iterator, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception:  # noqa: BLE001 - the answer has ended, so the error can only be logged
        _log.exception("a stream failed to close")
