"""Reading query parameters by their declared types.

Values are read as dockerd reads them, most of them leniently: nearly every word is true.
Where dockerd is stricter, or has an error text of its own, the field is annotated so
(:mod:`palan.api.annotations`).
"""

import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from urllib.parse import unquote_plus

import msgspec

from palan.api._base import Unset
from palan.api._json_decode import decoder, parse_json
from palan.api.annotations import FilterSet, Integer, NotEmpty, StrictBoolean
from palan.api.booleans import BOOLEANS
from palan.api.endpoint import Field
from palan.api.errors import InvalidParameter
from palan.api.filters import Filters


__all__ = ["Reader", "reader", "split_query"]

Reader = Callable[[list[str]], Any]
"""Makes a value of all texts that were given for one parameter, at least one."""

_FALSE: Final = {"", "0", "no", "false", "none"}

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DIGITS: Final = 40


def reader(field: Field) -> Reader:  # noqa: PLR0911 - a table of types
    """Return the reader of a field that is a query parameter."""
    kind, name = _plain(field.kind), field.wire_name
    if kind is str:
        return _string_reader(name, field.annotation(NotEmpty))
    if kind is bool:
        strict = field.annotation(StrictBoolean)
        return _strict_boolean_reader(name, strict) if strict else _lenient_boolean
    if kind is int:
        return _integer_reader(name, field.annotation(Integer) or Integer())
    if kind is float:
        return _float
    if kind is Filters:
        return _filters_reader(field.annotation(FilterSet) or FilterSet())
    if get_origin(kind) is list and _plain(get_args(kind)[0]) is str:
        return list
    return _json_reader(name, kind)


def _plain(kind: Any) -> Any:
    """Return a type without annotations, null and absence."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            members = [one for one in get_args(kind) if one not in (NoneType, Unset)]
            if len(members) != 1:
                return kind
            kind = members[0]
        else:
            return kind


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _string_reader(name: str, not_empty: NotEmpty | None) -> Reader:
    if not_empty is None:
        return lambda given: given[0]
    message = not_empty.error.format(name=name)

    def read(given: list[str]) -> str:
        if not given[0]:
            raise InvalidParameter(message)
        return given[0]

    return read


def _lenient_boolean(given: list[str]) -> bool:
    return given[0].strip().lower() not in _FALSE


def _strict_boolean_reader(name: str, strict: StrictBoolean) -> Reader:
    def read(given: list[str]) -> bool:
        text = given[0]
        if not text:
            return False
        if text not in BOOLEANS:
            raise InvalidParameter(strict.error.format(name=name, given=text, quoted=_quoted(text)))
        return BOOLEANS[text]

    return read


def _integer_reader(name: str, integer: Integer) -> Reader:
    def read(given: list[str]) -> int:
        text = given[0]
        reason = "invalid syntax"
        # Long numbers never fit, and converting them is slow.
        if _INTEGER.fullmatch(text):
            number = int(text) if len(text) <= _DIGITS else integer.values.stop
            if number in integer.values:
                return number
            reason = "value out of range"
        raise InvalidParameter(
            integer.error.format(name=name, given=text, quoted=_quoted(text), reason=reason)
        )

    return read


def _float(given: list[str]) -> float:
    try:
        return float(given[0])
    except ValueError:
        raise InvalidParameter(
            f"strconv.ParseFloat: parsing {_quoted(given[0])}: invalid syntax"
        ) from None


def _filters_reader(declared: FilterSet) -> Reader:
    def read(given: list[str]) -> Filters:
        try:
            return Filters.parse(given[0])
        except InvalidParameter:
            raise InvalidParameter(declared.malformed) from None

    return read


def _json_reader(name: str, kind: Any) -> Reader:
    decode = decoder(kind)

    def read(given: list[str]) -> Any:
        try:
            return decode(parse_json(given[0].encode()), "")
        except InvalidParameter as error:
            raise InvalidParameter(f"invalid value for {name}: {error.message}") from None

    return read


# ---- the query itself --------------------------------------------------------

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)


def split_query(text: str) -> dict[str, list[str]]:
    """Parse a query string, as strictly as Go.

    Raises:
        InvalidParameter: the query contains a semicolon or a malformed escape.
    """
    values: dict[str, list[str]] = {}
    if not text:
        return values
    for part in text.split("&"):
        if ";" in part:
            raise InvalidParameter("invalid semicolon separator in query")
        if part:
            name, _, value = part.partition("=")
            values.setdefault(_unescape(name), []).append(_unescape(value))
    return values


def _unescape(text: str) -> str:
    if "%" not in text:
        return text.replace("+", " ")
    bad = _BAD_ESCAPE.search(text)
    if bad:
        raise InvalidParameter(f"invalid URL escape {_quoted(bad[0])}")
    return unquote_plus(text, errors="replace")
