"""Decoding of an engine's responses to messages of the newest version; no I/O."""

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
def _strict_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(operation: str, version: Version, kind: Any, data: bytes) -> Any:
    """Decode a message from JSON.

    Engines differ in the fields that they omit or send as null; both mean the default, as in Go.

    Args:
        operation: ``group.operation``, which selects the conversions from older versions.
        version: the API version in use.
        kind: the message's type.
        data: JSON.

    Raises:
        ProtocolError: the data is not JSON, or does not fit the type.
    """
    if version >= MAX_VERSION:
        return _decode(kind, data, ())
    from palan.client._lifts import document_lifts, message_lifts

    message = _decode(kind, data, document_lifts(operation, version))
    for lift in message_lifts(operation, version):
        lift(message)
    return message


def _decode(kind: Any, data: bytes, lifts: tuple[Callable[[Any], Any], ...]) -> Any:
    if not lifts:
        try:
            return _strict_decoder(kind).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The slower decoding below tolerates nulls, or finds out what is wrong.
            pass
    from palan.api._json_decode import decoder
    from palan.api.errors import InvalidParameter

    try:
        document = msgspec.json.decode(data)
        for lift in lifts:
            document = lift(document)
        try:
            return msgspec.convert(_without_nulls(document), kind)
        except msgspec.ValidationError:
            return decoder(kind)(document, "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the engine answered what is no JSON: {error}") from None
    except InvalidParameter as error:
        reason = error.message.removeprefix("invalid JSON: ")
        raise ProtocolError(f"the engine answered something else than expected: {reason}") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def error_of(status: int, data: bytes, method: str, path: str, reason: str = "") -> APIError:
    """Return the exception for an error response.

    Engines send ``{"message": ...}``; proxies and old engines send plain text.
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
    """Decode the header ``X-Docker-Container-Path-Stat``.

    Raises:
        ProtocolError: the header is malformed.
    """
    try:
        return msgspec.json.decode(b64decode(header), type=PathStat)
    except (ValueError, msgspec.DecodeError):
        raise ProtocolError(f"the engine sent malformed path properties: {header!r}") from None
