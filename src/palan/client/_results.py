"""From what an engine answers to messages of the newest version; no I/O."""

from base64 import b64decode
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from palan.api.results import PathStat
from palan.api.version import MAX_VERSION, Version
from palan.client.errors import APIError, ProtocolError, api_error


__all__ = ["decode", "error_of", "path_stat"]


@cache
def _fast(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(operation: str, version: Version, kind: Any, data: bytes) -> Any:
    """Make a message of JSON.

    Engines differ in what they leave out and in what is null; both give the default, as in Go.

    Args:
        operation: ``group.operation``, for what older versions said otherwise.
        version: what the engine speaks.
        kind: the message's type.
        data: JSON.

    Raises:
        ProtocolError: it is no JSON, or not of that shape.
    """
    if version >= MAX_VERSION:
        return _decoded(kind, data, ())
    from palan.client._lifts import lifts, touches

    message = _decoded(kind, data, lifts(operation, version))
    for touch in touches(operation, version):
        touch(message)
    return message


def _decoded(kind: Any, data: bytes, steps: tuple[Callable[[Any], Any], ...]) -> Any:
    if not steps:
        try:
            return _fast(kind).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What is amiss with it shows below.
            pass
    from palan.api._json_decode import decoder
    from palan.api.errors import InvalidParameter

    try:
        document = msgspec.json.decode(data)
        for step in steps:
            document = step(document)
        try:
            return msgspec.convert(_without_nulls(document), kind)
        except msgspec.ValidationError:
            return decoder(kind)(document, "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the engine answered what is no JSON: {error}") from None
    except InvalidParameter as error:
        words = error.message.removeprefix("invalid JSON: ")
        raise ProtocolError(f"the engine answered something else than expected: {words}") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def error_of(status: int, data: bytes, method: str, path: str, reason: str = "") -> APIError:
    """The error that an answer means.

    Engines say ``{"message": ...}``, proxies and old engines plain text.
    """
    text = data.decode("utf-8", "replace").strip()
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        text = document["message"]
    return api_error(status, text or reason or f"status {status}", method, path)


def path_stat(header: str) -> PathStat:
    """What ``X-Docker-Container-Path-Stat`` says.

    Raises:
        ProtocolError: nothing that can be read.
    """
    try:
        return msgspec.json.decode(b64decode(header), type=PathStat)
    except (ValueError, msgspec.DecodeError):
        raise ProtocolError(f"the engine does not tell what the path is: {header!r}") from None
