"""Decoding of an engine's responses to messages of the newest version; no I/O."""

from base64 import b64decode
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from palan.api._base import UNSET
from palan.api.results import PathStat
from palan.api.version import MAX_VERSION, Version
from palan.client._contract import EMPTY_IS_NOT_NULL
from palan.client.errors import APIError, ProtocolError, api_error


__all__ = ["decode", "error_of", "path_stat"]


@cache
def _strict_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(operation: str, version: Version, kind: Any, data: bytes) -> Any:
    """Decode a message from JSON.

    Engines differ in the fields that they omit or send as null; both mean the default, as in Go.
    A null instead of a list or an object with arbitrary keys is an empty one.

    Args:
        operation: ``group.operation``, which selects the conversions from older versions.
        version: the API version in use.
        kind: the message's type.
        data: JSON.

    Raises:
        ProtocolError: the data is not JSON, or does not fit the type.
    """
    if version >= MAX_VERSION:
        return _without_none(_decode(kind, data, ()))
    from palan.client._lifts import document_lifts, message_lifts

    message = _decode(kind, data, document_lifts(operation, version))
    for lift in message_lifts(operation, version):
        lift(message)
    return _without_none(message)


def _decode(kind: Any, data: bytes, lifts: tuple[Callable[[Any], Any], ...]) -> Any:
    if not lifts:
        try:
            return _strict_decoder(kind).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The slower decoding below tolerates nulls, or finds out what is wrong.
            pass
    from palan.api._json_decode import decoder, zero
    from palan.api.errors import InvalidParameter

    try:
        document = msgspec.json.decode(data)
        for lift in lifts:
            document = lift(document)
        return zero(kind) if document is None else decoder(kind)(document, "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the engine answered what is no JSON: {error}") from None
    except InvalidParameter as error:
        reason = error.message.removeprefix("invalid JSON: ")
        raise ProtocolError(f"the engine answered something else than expected: {reason}") from None


Make = Callable[[], Any] | None
"""Makes the empty value for None; None if the value may not be None, or means something."""

Fill = Callable[[Any], None] | None
"""Replaces None within a value; None if the value's type has nothing to replace."""


def _without_none(message: Any) -> Any:
    """Replace None by an empty list or dictionary in a message, and return it."""
    if isinstance(message, msgspec.Struct):
        _fill_struct(message)
    elif isinstance(message, list) and message and isinstance(message[0], msgspec.Struct):
        for one in message if _fields_to_fill(type(message[0])) else ():
            _fill_struct(one)
    return message


def _fill_struct(message: Any) -> None:
    if message is UNSET:
        return
    for name, make, fill in _fields_to_fill(message.__class__):
        value = getattr(message, name)
        if value is None:
            if make is not None:
                setattr(message, name, make())
        elif fill is not None:
            fill(value)


@cache
def _fields_to_fill(struct: type[msgspec.Struct]) -> tuple[tuple[str, Make, Fill], ...]:
    """Return the fields that may be or contain None instead of empty."""
    return tuple(
        (entry.name, make, fill)
        for entry in msgspec.structs.fields(struct)
        for make, fill in [_fillers(entry.type, entry.name, frozenset())]
        if make or fill
    )


def _fillers(kind: Any, name: str, seen: frozenset[type]) -> tuple[Make, Fill]:
    members = _members(kind)
    make: Make = None
    fill: Fill = None
    for one in members:
        origin = get_origin(one)
        if origin in (list, dict):
            if NoneType in members and name not in EMPTY_IS_NOT_NULL:
                make = origin
            fill = _items_filler(*_fillers(get_args(one)[-1], "", seen))
        elif isinstance(one, type) and issubclass(one, msgspec.Struct) and one not in seen:
            known = seen | {one}
            if any(
                any(_fillers(entry.type, entry.name, known))
                for entry in msgspec.structs.fields(one)
            ):
                fill = _fill_struct
    return make, fill


def _items_filler(make: Make, fill: Fill) -> Fill:
    if make is None and fill is None:
        return None

    def fill_items(value: Any) -> None:
        if value is UNSET:
            return
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            if one is None:
                if make is not None:
                    value[key] = make()
            elif fill is not None:
                fill(one)

    return fill_items


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


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
