"""Between what HTTP carries and what the engine takes and gives; no I/O.

:func:`decode_request` makes an endpoint's request out of path, query, headers and body,
:func:`encode` makes JSON of what the engine answers.  Both pass through
:mod:`palan.api.changes`, so that the engine sees and speaks the newest version only.
"""

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from palan.api import changes
from palan.api._base import Request
from palan.api._json_decode import Decoder, decoder, parse_json, zero
from palan.api._parameters import Reader, reader, split_query
from palan.api.endpoint import Endpoint, Header
from palan.api.errors import InvalidParameter
from palan.api.results import ByteSource
from palan.api.version import Version


__all__ = ["BodyKind", "body_kind", "decode_request", "encode", "split_query"]

_BODY_NEEDED: Final = {"containers.create", "system.auth"}
"""Elsewhere dockerd takes a missing body for ``{}`` and lets the engine say what it lacks."""

_BODY_PREFIX: Final[Mapping[str, str]] = {"system.auth": "invalid X-Registry-Auth header: "}
"""dockerd reads the body of ``/auth`` with the code that reads the header, and says so."""

_BODY_STRUCT: Final[Mapping[str, str]] = {
    "configs.create": "ConfigSpec",
    "exec.create": "ExecCreateRequest",
    "exec.start": "ExecStartRequest",
    "networks.create": "CreateRequest",
    "secrets.create": "SecretSpec",
    "volumes.create": "CreateRequest",
}
"""What dockerd calls the struct of a body, where its messages name it."""

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
"""Maps with their keys in order, as Go writes them."""


class BodyKind:
    """How the body of an endpoint's request is read."""

    NONE: Final = "none"
    JSON: Final = "json"
    STREAM: Final = "stream"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A field that is read from the query."""

    name: str
    wire_name: str
    kind: Any
    read: Reader
    required: bool
    """Without a default: absence is read as the empty string."""

    empty_is_absent: bool


@dataclass(slots=True)
class _Plan:
    """How the requests of one endpoint are made; worked out once."""

    operation: str
    path: list[str] = field(default_factory=list)
    query: list[_Parameter] = field(default_factory=list)
    headers: list[tuple[str, str, Any]] = field(default_factory=list)
    """Field, header, type."""

    body: str = BodyKind.NONE
    body_required: bool = False
    body_type: Any = None
    decode_body: Decoder | None = None


def body_kind(endpoint: Endpoint) -> str:
    """How to read the request's body: one of :class:`BodyKind`."""
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
) -> Request:
    """Make the request that the engine is called with.

    Args:
        endpoint: which endpoint is called.
        path: its path parameters, unescaped.
        query: what stands in the query, see :func:`split_query`.
        headers: by names in lower case.
        body: the whole of it, or a stream where :func:`body_kind` says so.
        version: the API version that the client speaks.
        notices: takes what the client should be told about its request, see :func:`encode`.

    Raises:
        InvalidParameter: something of it cannot be read; says which and why.
    """
    plan = _plan(endpoint)
    document: Any = None
    if plan.body == BodyKind.JSON and isinstance(body, bytes) and body:
        _check_content_type(headers.get("content-type", ""))
        document = _document(plan, body)
    values = {name: list(given) for name, given in query.items()}
    document = changes.lift(plan.operation, version, values, document, notices)

    given: dict[str, Any] = {name: path[name] for name in plan.path}
    for parameter in plan.query:
        _read_parameter(parameter, values, given)
    for name, header, kind in plan.headers:
        text = headers.get(header)
        if text is not None:
            _read_header(name, text, kind, given)
    if plan.body == BodyKind.STREAM:
        given["body"] = body
    elif plan.decode_body is not None:
        _read_body(plan, plan.decode_body, body, document, given)
    return endpoint.request(**given)


def encode(endpoint: Endpoint, value: Any, version: Version, notices: Sequence[str] = ()) -> bytes:
    """The JSON of an answer, or of one message of it, in the words of an API version.

    Args:
        endpoint: which endpoint is called.
        value: what the engine answered.
        version: the API version that the client speaks.
        notices: what :func:`decode_request` had to say, for the warnings of the answer.

    Returns:
        JSON that ends in a newline, as everything that dockerd writes; nothing at all for
        a message that the version does not know.
    """
    operation = endpoint.name
    if notices or changes.lowers(operation, version):
        value = changes.lower(operation, version, msgspec.to_builtins(value), notices)
        if value is None:
            return b""
    try:
        return _ENCODER.encode(value) + b"\n"
    except UnicodeEncodeError:
        # Names of files are bytes; what is no UTF-8 in them cannot be said in JSON.
        return _ENCODER.encode(_without_surrogates(msgspec.to_builtins(value))) + b"\n"


@cache
def _plan(endpoint: Endpoint) -> _Plan:
    plan = _Plan(endpoint.name)
    in_path = endpoint.path_parameters
    for entry in msgspec.structs.fields(endpoint.request):
        header = _header_of(entry.type)
        if entry.name in in_path:
            plan.path.append(entry.name)
        elif entry.name == "body":
            plan.body_required = entry.required
            if entry.type == ByteSource:
                plan.body = BodyKind.STREAM
            else:
                plan.body = BodyKind.JSON
                plan.body_type = entry.type
                plan.decode_body = decoder(entry.type)
        elif header is not None:
            plan.headers.append((entry.name, header.name.lower(), entry.type))
        else:
            read = reader(plan.operation, entry.encode_name, entry.type)
            plan.query.append(
                _Parameter(
                    entry.name,
                    entry.encode_name,
                    entry.type,
                    read,
                    required=entry.required,
                    empty_is_absent=not entry.required and not _takes_empty(entry.type),
                )
            )
    return plan


def _header_of(kind: Any) -> Header | None:
    if get_origin(kind) is not Annotated:
        return None
    return next((mark for mark in get_args(kind)[1:] if isinstance(mark, Header)), None)


def _takes_empty(kind: Any) -> bool:
    """Whether ``?name=`` says something: text that is empty, or a flag that is off."""
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


def _read_header(name: str, text: str, kind: Any, given: dict[str, Any]) -> None:
    inner = get_args(kind)[0]
    if inner is str or str in get_args(inner):
        given[name] = text
        return
    # Credentials: what cannot be read counts as not given, as with dockerd.
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        given[name] = decoder(inner)(parse_json(raw), "")
    except (ValueError, InvalidParameter):
        return


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


def _document(plan: _Plan, body: bytes) -> Any:
    try:
        return parse_json(body)
    except InvalidParameter as error:
        raise InvalidParameter(_BODY_PREFIX.get(plan.operation, "") + error.message) from None


def _read_body(
    plan: _Plan,
    decode: Decoder,
    body: bytes | AsyncIterator[bytes] | None,
    document: Any,
    given: dict[str, Any],
) -> None:
    prefix = _BODY_PREFIX.get(plan.operation, "")
    if document is None:
        if not body and plan.operation in _BODY_NEEDED:
            raise InvalidParameter(f"{prefix}invalid JSON: EOF")
        if plan.body_required:
            given["body"] = zero(plan.body_type)
        return
    try:
        given["body"] = decode(document, _BODY_STRUCT.get(plan.operation, ""))
    except InvalidParameter as error:
        raise InvalidParameter(prefix + error.message) from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return value
