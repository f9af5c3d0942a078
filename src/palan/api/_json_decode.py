"""Decoding JSON into messages by the rules of Go's ``encoding/json``.

Clients were written against Go's decoder, so its rules are part of the contract: keys are
not case-sensitive, unknown keys are ignored, null leaves a field unchanged, an absent field
has its zero value, and everything else must have the right type. msgspec parses the JSON;
this module converts the result into structs, because msgspec's own conversion is stricter
and has other error texts.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import cache
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from palan.api._base import UNSET, Unset
from palan.api.errors import InvalidParameter


__all__ = ["Decoder", "decoder", "parse_json", "zero"]

Decoder = Callable[[Any, str], Any]
"""Converts parsed JSON into a value, given its path for messages, ``.HostConfig.Binds``.

The text before the first dot is Go's name of the outermost struct.
"""

_MAX_DEPTH: Final = 64
"""The greatest depth of values of unknown shape; real values are far less deep."""

_INT64: Final = range(-(2**63), 2**63)

_GO_STRUCTS: Final[Mapping[str, str]] = {
    "ContainerCreateBody": "container.CreateRequest",
    "ExecConfig": "container.ExecCreateRequest",
    "ExecStartConfig": "container.ExecStartRequest",
    "HostConfig": "container.HostConfig",
    "IPAM": "network.IPAM",
    "NetworkCreateRequest": "network.CreateRequest",
}
"""dockerd's names of structs that have other names in the API's description."""

_GO_FIELDS: Final[Mapping[str, str]] = {
    ".ExposedPorts": "map[network.Port]struct {}",
    ".StopTimeout": "int",
}
"""Go's types of fields where these do not follow from ours."""

_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/\r\n]")


def parse_json(data: bytes) -> Any:
    """Read one JSON document.

    Raises:
        InvalidParameter: it is not JSON, or more than one document; with Go's text where
            that is well known.
    """
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError:
        raise InvalidParameter("invalid JSON: invalid UTF-8 in a string") from None
    except RecursionError:
        raise InvalidParameter("invalid JSON: exceeded max depth") from None
    except msgspec.MsgspecError as error:
        reason = str(error)
        if not data.strip():
            reason = "EOF"
        elif "UTF-8" in reason:
            reason = "invalid UTF-8 in a string"
        elif "truncated" in reason:
            reason = "unexpected EOF"
        elif "trailing characters" in reason:
            raise InvalidParameter("unexpected content after JSON") from None
        raise InvalidParameter(f"invalid JSON: {reason}") from None


@cache
def decoder(kind: Any) -> Decoder:  # noqa: PLR0911 - a table of types
    """Return the decoder for values of a type."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is Any or kind is object:
        return _anything
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(kind)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin in (list, set, frozenset):
        return _collection(origin, arguments[0])
    if origin is tuple:
        return _array(arguments)
    if origin in (dict, Mapping):
        return _mapping(arguments[1])
    if kind in (list, dict):
        return decoder(list[Any] if kind is list else dict[str, Any])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _Struct(kind)
    return _converted(kind)


def zero(kind: Any) -> Any:  # noqa: PLR0911 - a table of types
    """Return Go's zero value of a type, which absent fields get."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return zero(arguments[0])
    if origin in (Union, UnionType):
        if NoneType in arguments:
            return None
        return UNSET if Unset in arguments else zero(arguments[0])
    if kind is Any:
        return None
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return tuple(zero(argument) for argument in arguments if argument is not ...)
    made = origin or kind
    if isinstance(made, type) and issubclass(made, msgspec.Struct):
        return decoder(made)({}, "")
    return made()


def _refuse(value: Any, path: str, kind: Any, why: str = "") -> InvalidParameter:
    # Go quotes a number only if the field is a number, too, so that its value is the problem.
    name = _json_name(value)
    if name == "number" and kind in (int, float):
        name = f"number {value}"
    where = f"struct field {path}" if "." in path else "value"
    go_type = _GO_FIELDS.get(path) or _go_name(kind)
    return InvalidParameter(
        f"invalid JSON: json: cannot unmarshal {name} into Go {where} of type {go_type}{why}"
    )


def _json_name(value: Any) -> str:
    for kind, name in ((bool, "bool"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "number"


def _go_name(kind: Any) -> str:
    """Return Go's name of a type, as close to dockerd's messages as possible."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _go_name(arguments[0])
    if origin in (Union, UnionType):
        return _go_name(next(one for one in arguments if one not in (NoneType, Unset)))
    if origin in (list, set, frozenset):
        return f"[]{_go_name(arguments[0])}"
    if origin is tuple:
        return f"[{len(arguments)}]{_go_name(arguments[0])}"
    if origin in (dict, Mapping):
        return "struct {}" if arguments[1] is Any else f"map[string]{_go_name(arguments[1])}"
    names = {str: "string", int: "int64", float: "float64", bytes: "[]uint8", Any: "any"}
    name = str(getattr(kind, "__name__", kind))
    return names.get(kind) or _GO_STRUCTS.get(name, name)


def _string(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    raise _refuse(value, path, str)


def _boolean(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _refuse(value, path, bool)


def _integer(value: Any, path: str) -> int:
    if type(value) is int and value in _INT64:
        return value
    raise _refuse(value, path, int)


def _number(value: Any, path: str) -> float:
    if type(value) in (int, float):
        return float(value)
    raise _refuse(value, path, float)


def _bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, str):
        raise _refuse(value, path, bytes)
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        found = _NOT_BASE64.search(value)
        place = found.start() if found else len(value)
        raise _refuse(value, path, bytes, f": illegal base64 data at input byte {place}") from None


def _anything(value: Any, path: str) -> Any:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise InvalidParameter(f"invalid JSON: exceeded max depth in {path or 'value'}")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
    return value


_SCALARS: Final[Mapping[Any, Decoder]] = {
    str: _string,
    bool: _boolean,
    int: _integer,
    float: _number,
    bytes: _bytes,
}


def _annotated(kind: Any) -> Decoder:
    inner, *marks = get_args(kind)
    if any(isinstance(mark, msgspec.Meta) for mark in marks):
        return _converted(kind)
    return decoder(inner)


def _union(members: tuple[Any, ...]) -> Decoder:
    # The decoder of the containing value handles null.
    kinds = [member for member in members if member not in (NoneType, Unset)]
    if len(kinds) == 1:
        return decoder(kinds[0])
    decoders = [decoder(kind) for kind in kinds]

    def first_that_fits(value: Any, path: str) -> Any:
        for decode in decoders[:-1]:
            try:
                return decode(value, path)
            except InvalidParameter:
                continue
        return decoders[-1](value, path)

    return first_that_fits


def _collection(collection: Any, kind: Any) -> Decoder:
    decode = decoder(kind)

    def decode_list(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _refuse(value, path, list[kind])
        return collection(zero(kind) if one is None else decode(one, path) for one in value)

    return decode_list


def _array(kinds: tuple[Any, ...]) -> Decoder:
    if len(kinds) == 2 and kinds[1] is ...:
        return _collection(tuple, kinds[0])
    decoders = [decoder(kind) for kind in kinds]

    def decode_array(value: Any, path: str) -> Any:
        # As in Go, missing elements are zero and extra ones are ignored.
        if not isinstance(value, list):
            raise _refuse(value, path, GenericAlias(tuple, kinds))
        given = value + [None] * (len(kinds) - len(value))
        return tuple(
            zero(kind) if one is None else decode(one, path)
            for one, kind, decode in zip(given, kinds, decoders, strict=False)
        )

    return decode_array


def _mapping(kind: Any) -> Decoder:
    decode = decoder(kind)

    def decode_mapping(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refuse(value, path, dict[str, kind])
        if kind is str and set(map(type, value.values())) <= {str}:
            return value
        return {key: zero(kind) if one is None else decode(one, path) for key, one in value.items()}

    return decode_mapping


class _Struct:
    """The decoder of objects into one type of struct."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self._kind = kind
        # Filled at first use, for types that contain themselves.
        self._fields: dict[str, tuple[str, str, Decoder]] = {}
        self._folded: dict[str, tuple[str, str, Decoder]] = {}
        self._required: list[tuple[str, Any]] = []

    def _learn(self) -> None:
        for entry in msgspec.structs.fields(self._kind):
            field = (entry.name, f".{entry.encode_name}", decoder(entry.type))
            self._fields[entry.encode_name] = field
            self._folded[entry.encode_name.casefold()] = field
            if entry.required:
                self._required.append((entry.name, entry.type))

    def __call__(self, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(value, path, self._kind)
        if not self._fields:
            self._learn()
        given: dict[str, Any] = {}
        for key, one in value.items():
            field = self._fields.get(key) or self._folded.get(key.casefold())
            if field is None or one is None:
                continue
            name, step, decode = field
            given[name] = decode(one, path + step)
        for name, kind in self._required:
            if name not in given:
                given[name] = zero(kind)
        return self._kind(**given)


def _converted(kind: Any) -> Decoder:
    """Return a decoder for types without a match in Go: literals, enums, times, constraints."""

    def convert(value: Any, path: str) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            where = path or "body"
            raise InvalidParameter(f"invalid JSON: {where}: {error}") from None

    return convert
