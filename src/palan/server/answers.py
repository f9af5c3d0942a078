"""Writing answers: one function for each kind of result of :mod:`palan.api.results`.

The endpoint's declaration decides which function writes the engine's result.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from palan.api.errors import PalanError, machine_failure
from palan.api.frames import SYSTEM, frame
from palan.api.results import (
    JSON_SEQUENCE,
    Bytes,
    ByteStream,
    FrameStream,
    Hijack,
    Json,
    Late,
    LateJson,
    Messages,
    MessageStream,
    NoContent,
    PathStat,
    Ping,
    RawFrames,
    Session,
    Stat,
)
from palan.api.version import Version
from palan.server.call import Call
from palan.server.compression import gzipped
from palan.server.exchange import ClientGone
from palan.server.hijack import (
    RAW_STREAM,
    close_iterator,
    multiplexed,
    serve_session,
)
from palan.server.http1 import response_head
from palan.server.websocket import serve_websocket


__all__ = ["refuse_in_stream", "send"]

_LATE_SINCE: Final = Version(1, 30)
"""Clients of older versions expect the head together with the answer."""

_RECORD_SEPARATOR: Final = b"\x1e"
"""RFC 7464."""

_TEXT_TYPE: Final = "text/plain; charset=utf-8"

_PING_HEADERS: Final[Mapping[str, str]] = {
    "Builder-Version": "1",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
}
"""Headers of ping, which the engine's own replace."""

_log = structlog.get_logger(__name__)


async def send(call: Call, result: Any) -> None:
    """Answer a call with what the engine returned.

    Raises:
        PalanError: the result failed before the head was sent.
        ClientGone: the client closed the connection.
    """
    await _SENDERS[type(call.endpoint.result)](call, result)


async def refuse_in_stream(call: Call, error: PalanError) -> None:
    """Answer an error as text in a raw stream, where the connection is taken over early."""
    head = response_head(error.status, [("Content-Type", RAW_STREAM)])
    text = f"{error.message}\r\n".encode("utf-8", "replace")
    try:
        stream = await call.exchange.hijack(error.status)
    except PalanError:
        call.exchange.abort()
    else:
        await stream.write(head + text)


# ---- whole answers ------------------------------------------------------------


async def _send_json(call: Call, value: Any) -> None:
    await call.exchange.respond(
        call.endpoint.result.status,
        call.header_lines({"Content-Type": "application/json"}),
        call.encode(value),
    )


async def _send_nothing(call: Call, value: NoContent | None) -> None:
    await call.exchange.respond((value or call.endpoint.result).status, call.header_lines())


async def _send_ping(call: Call, text: str | None) -> None:
    headers = {"Content-Type": _TEXT_TYPE, **_PING_HEADERS, **call.headers}
    if text is None:
        headers["Content-Length"] = "0"
    await call.exchange.respond(
        call.endpoint.result.status, call.header_lines(headers), (text or "").encode()
    )


async def _send_stat(call: Call, stat: PathStat) -> None:
    await call.exchange.respond(
        call.endpoint.result.status,
        call.header_lines({"X-Docker-Container-Path-Stat": stat.header()}),
    )


async def _send_late(call: Call, late: Late) -> None:
    try:
        await _await_late(call, late)
    finally:
        if asyncio.iscoroutine(late.value):
            late.value.close()  # not awaited if the client closed the connection first


async def _await_late(call: Call, late: Late) -> None:
    if call.version < _LATE_SINCE:
        with call.exchange.interruptible():
            value = await late.value
        await _send_json(call, value)
        return
    exchange = call.exchange
    await exchange.start(
        call.endpoint.result.status, call.header_lines({"Content-Type": "application/json"})
    )
    try:
        with exchange.interruptible():
            value = await late.value
    except PalanError as error:
        # The status has been sent; dockerd leaves the body empty, too.
        _log.warning("a late answer failed", operation=call.endpoint.name, reason=error.message)
    else:
        await exchange.send(call.encode(value))
    await exchange.end()


# ---- streams ------------------------------------------------------------------


async def _send_bytes(call: Call, stream: ByteStream) -> None:
    declared = call.endpoint.result
    assert isinstance(declared, Bytes)  # noqa: S101 - chosen by this type
    exchange = call.exchange
    chunks = stream.chunks
    try:
        with exchange.interruptible():
            first = await anext(chunks, b"")
            headers = {"Content-Type": declared.content_type, **stream.headers}
            if declared.compressible and _takes_gzip(call):
                headers["Content-Encoding"] = "gzip"
                chunks = gzipped(first, stream.chunks)
                first = await anext(chunks)
            await exchange.start(declared.status, call.header_lines(headers))
            await exchange.send(first)
            async for data in chunks:
                await exchange.send(data)
        await exchange.end()
    finally:
        await close_iterator(stream.chunks)


def _takes_gzip(call: Call) -> bool:
    return "gzip" in _accepted(call.exchange.head.headers.get("accept-encoding", ""))


async def _send_frames(call: Call, stream: FrameStream) -> None:
    exchange = call.exchange
    chunks = stream.chunks
    try:
        with exchange.interruptible():
            kind = multiplexed(call.version, tty=stream.tty)
            await exchange.start(
                call.endpoint.result.status, call.header_lines({"Content-Type": kind})
            )
            try:
                async for data in chunks:
                    await exchange.send(data)
            except PalanError as error:
                text = f"Error grabbing logs: {error.message}\n".encode("utf-8", "replace")
                await exchange.send(text if stream.tty else frame(SYSTEM, text))
        await exchange.end()
    finally:
        await close_iterator(chunks)


async def _send_messages(call: Call, stream: MessageStream) -> None:
    exchange = call.exchange
    messages = stream.messages
    kind = _message_type(call)
    mark = _RECORD_SEPARATOR if kind == JSON_SEQUENCE else b""
    headers = call.header_lines({"Content-Type": kind})
    try:
        with exchange.interruptible():
            if not stream.early:
                await _send_after_first(call, messages, headers, mark)
            else:
                await exchange.start(call.endpoint.result.status, headers)
                async for message in messages:
                    await _send_message(call, message, mark)
        await exchange.end()
    finally:
        await close_iterator(messages)


async def _send_after_first(
    call: Call,
    messages: AsyncIterator[Any],
    headers: list[tuple[str, str]],
    mark: bytes,
) -> None:
    """Send the head with the first message, so that an earlier error becomes a status."""
    nothing = object()
    first = await anext(messages, nothing)
    await call.exchange.start(call.endpoint.result.status, headers)
    if first is nothing:
        return
    await _send_message(call, first, mark)
    try:
        async for message in messages:
            await _send_message(call, message, mark)
    except PalanError as error:
        await call.exchange.send(mark + _in_band(error.message))
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001 - becomes an error in the stream, with details in the log
        _log.exception("a stream failed", operation=call.endpoint.name)
        reason = machine_failure(error) or "internal error: the engine's log has more about it"
        await call.exchange.send(mark + _in_band(reason))


async def _send_message(call: Call, message: Any, mark: bytes) -> None:
    data = call.encode(message)
    if data:
        await call.exchange.send(mark + data)


def _in_band(message: str) -> bytes:
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return msgspec.json.encode({"errorDetail": {"message": text}, "error": text}) + b"\n"


def _message_type(call: Call) -> str:
    declared = call.endpoint.result
    assert isinstance(declared, Messages)  # noqa: S101 - chosen by this type
    default = "application/json"
    if not declared.media_types:
        return default
    if call.version >= declared.media_types_since:
        default = declared.media_types[0]
    accepted = _accepted(call.exchange.head.headers.get("accept", ""))
    return next((kind for kind in accepted if kind in declared.media_types), default)


def _accepted(header: str) -> list[str]:
    """Return the values of an ``Accept`` or ``Accept-Encoding`` header, the preferred first."""
    found: list[tuple[float, str]] = []
    for entry in header.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if quality > 0:
            found.append((quality, kind))
    return [kind for _, kind in sorted(found, key=lambda entry: -entry[0])]


# ---- hijacked connections -----------------------------------------------------


async def _send_session(call: Call, session: Session | None) -> None:
    declared = call.endpoint.result
    assert isinstance(declared, Hijack)  # noqa: S101 - chosen by this type
    exchange = call.exchange
    if session is None:
        # The process runs detached: it has no streams to connect to.
        await exchange.respond(HTTPStatus.OK, call.header_lines())
    elif declared.upgrade == "websocket":
        await serve_websocket(exchange, session, call.version)
    else:
        headers = [] if declared.early else call.header_lines()
        await serve_session(exchange, call.version, headers, session)


_SENDERS: Final[Mapping[type, Callable[[Call, Any], Awaitable[None]]]] = {
    Json: _send_json,
    LateJson: _send_late,
    NoContent: _send_nothing,
    Ping: _send_ping,
    Stat: _send_stat,
    Bytes: _send_bytes,
    Messages: _send_messages,
    RawFrames: _send_frames,
    Hijack: _send_session,
}
