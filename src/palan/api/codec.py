"""Conversion between HTTP and the engine's requests and results, without I/O.

:func:`decode_request` makes the request of an endpoint from path, query, headers and body;
:func:`encode` makes JSON from the engine's result. Both apply :mod:`palan.api.changes`, so
that the engine only deals with the newest version.
"""

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, get_args

import msgspec

from palan.api import changes
from palan.api._base import Request
from palan.api._json_decode import Decoder, decoder, parse_json, zero
from palan.api._parameters import Reader, reader, split_query
from palan.api.annotations import Body, FilterSet
from palan.api.endpoint import Endpoint, Field
from palan.api.errors import InvalidParameter
from palan.api.results import ByteSource
from palan.api.version import Version


__all__ = [
    "BodyKind",
    "body_kind",
    "decode_header",
    "decode_request",
    "encode",
    "split_query",
]

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
"""Writes maps with sorted keys, as Go does."""


class BodyKind:
    """The ways to read the body of a request."""

    NONE: Final = "none"
    JSON: Final = "json"
    STREAM: Final = "stream"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A field that is read from the query."""

    name: str
    wire_name: str
    read: Reader
    required: bool
    """Whether there is no default: absence is read as the empty string."""

    empty_is_absent: bool


@dataclass(frozen=True, slots=True)
class _JsonBody:
    """A body that is a JSON document."""

    kind: Any
    decode: Decoder
    required: bool
    declared: Body


@dataclass(slots=True)
class _Plan:
    """The way in which the requests of one endpoint are made; computed once."""

    operation: str
    path: list[str] = field(default_factory=list)
    query: list[_Parameter] = field(default_factory=list)
    headers: list[Field] = field(default_factory=list)
    filters: list[tuple[str, FilterSet]] = field(default_factory=list)
    body: str = BodyKind.NONE
    json: _JsonBody | None = None


def body_kind(endpoint: Endpoint) -> str:
    """Return the way to read the request's body, one of :class:`BodyKind`."""
    return _plan(endpoint).body


def decode_request(
    endpoint: Endpoint,
    *,
    path: Mapping[str, str],
    query: Mapping[str, list[str]],
    headers: Mapping[str, str],
    body: bytes | AsyncIterator[bytes] | None,
    version: Version,
    notices: list[str] | None = None,
    unread: list[str] | None = None,
) -> Request:
    """Decode the request that the engine is called with.

    Args:
        endpoint: the endpoint.
        path: the path parameters, unescaped.
        query: the query, see :func:`split_query`.
        headers: the headers by lower-case names.
        body: the whole body, or a stream, depending on :func:`body_kind`.
        version: the client's API version.
        notices: receives remarks about the request, see :func:`encode`.
        unread: receives the names of headers that were ignored, as by dockerd, because they
            cannot be decoded.

    Raises:
        InvalidParameter: a part of the request cannot be decoded.
    """
    plan = _plan(endpoint)
    document: Any = None
    if plan.json is not None and isinstance(body, bytes) and body:
        _check_content_type(headers.get("content-type", ""))
        document = _document(plan.json.declared, body)
    values = {name: list(given) for name, given in query.items()}
    document = changes.lift(plan.operation, version, values, document, notices)

    given: dict[str, Any] = {name: path[name] for name in plan.path}
    for parameter in plan.query:
        _read_parameter(parameter, values, given)
    for entry in plan.headers:
        text = headers.get(entry.wire_name.lower())
        if text is not None:
            _read_header(entry, text, given, [] if unread is None else unread)
    if plan.body == BodyKind.STREAM:
        given["body"] = body
    elif plan.json is not None:
        _read_body(plan.json, body, document, given)
    for name, filters in plan.filters:
        if name in given:
            filters.check(given[name])
    return endpoint.request(**given)


def decode_header(kind: Any, text: str) -> Any:
    """Decode the value of a header that carries JSON in base64, such as credentials.

    Both alphabets of base64 are accepted, with and without padding.

    Args:
        kind: the type of the value.
        text: the header's value.

    Raises:
        InvalidParameter: it is not base64, or not the JSON of such a value.
    """
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidParameter(f"invalid base64: {error}") from None
    return decoder(kind)(parse_json(data), "")


def encode(endpoint: Endpoint, value: Any, version: Version, notices: Sequence[str] = ()) -> bytes:
    """Encode an answer, or one message of a stream, as JSON of an API version.

    Args:
        endpoint: the endpoint.
        value: the engine's result.
        version: the client's API version.
        notices: the notices of :func:`decode_request`, for the warnings of the answer.

    Returns:
        JSON with a trailing newline, as dockerd writes it; empty for a message that the
        version does not have.
    """
    operation = endpoint.name
    if notices or changes.lowers(operation, version):
        value = changes.lower(operation, version, msgspec.to_builtins(value), notices)
        if value is None:
            return b""
    try:
        return _ENCODER.encode(value) + b"\n"
    except UnicodeEncodeError:
        # File names are bytes, and JSON cannot represent those that are not UTF-8.
        return _ENCODER.encode(_without_surrogates(msgspec.to_builtins(value))) + b"\n"


@cache
def _plan(endpoint: Endpoint) -> _Plan:
    plan = _Plan(endpoint.name)
    for entry in endpoint.fields:
        if entry.place == "path":
            plan.path.append(entry.name)
        elif entry.place == "header":
            plan.headers.append(entry)
        elif entry.place == "body" and entry.kind == ByteSource:
            plan.body = BodyKind.STREAM
        elif entry.place == "body":
            plan.body = BodyKind.JSON
            declared = entry.annotation(Body) or Body()
            plan.json = _JsonBody(entry.kind, decoder(entry.kind), entry.required, declared)
        else:
            plan.query.append(
                _Parameter(
                    entry.name,
                    entry.wire_name,
                    reader(entry),
                    required=entry.required,
                    empty_is_absent=not entry.required and not _takes_empty(entry.kind),
                )
            )
            declared_filters = entry.annotation(FilterSet)
            if declared_filters is not None and not declared_filters.late:
                plan.filters.append((entry.name, declared_filters))
    return plan


def _takes_empty(kind: Any) -> bool:
    """Whether ``?name=`` has a meaning: an empty text, or false."""
    members = get_args(kind) or (kind,)
    return str in members or bool in members


def _read_parameter(
    parameter: _Parameter, values: Mapping[str, list[str]], given: dict[str, Any]
) -> None:
    texts = values.get(parameter.wire_name)
    if not texts:
        if not parameter.required:
            return
        texts = [""]
    elif parameter.empty_is_absent and not texts[0] and len(texts) == 1:
        return
    given[parameter.name] = parameter.read(texts)


def _read_header(entry: Field, text: str, given: dict[str, Any], unread: list[str]) -> None:
    if _is_text(entry.kind):
        given[entry.name] = text
    elif text:
        try:
            given[entry.name] = decode_header(entry.kind, text)
        except InvalidParameter:
            unread.append(entry.wire_name)


def _is_text(kind: Any) -> bool:
    return kind is str or kind == str | None


def _check_content_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type:
        raise InvalidParameter(
            f"malformed Content-Type header ({content_type}): mime: no media type"
        )
    if media_type != "application/json":
        raise InvalidParameter(
            f"unsupported Content-Type header ({content_type}): must be 'application/json'"
        )


def _document(declared: Body, body: bytes) -> Any:
    try:
        return parse_json(body)
    except InvalidParameter as error:
        raise InvalidParameter(declared.error_prefix + error.message) from None


def _read_body(json: _JsonBody, body: object, document: Any, given: dict[str, Any]) -> None:
    declared = json.declared
    if document is None:
        if not body and declared.needed:
            raise InvalidParameter(f"{declared.error_prefix}invalid JSON: EOF")
        if json.required:
            given["body"] = zero(json.kind)
        return
    try:
        given["body"] = json.decode(document, declared.struct)
    except InvalidParameter as error:
        raise InvalidParameter(declared.error_prefix + error.message) from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return value
