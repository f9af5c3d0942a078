"""Query parameters: their types, and what is said about those that are malformed.

Values are read as dockerd reads them, most of them kindly: every word is true but a few.
A handful of endpoints have words of their own for what they cannot read; clients show
them to people, and some match on them, so they are listed here.
"""

import re
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from urllib.parse import unquote_plus

import msgspec

from palan.api._base import Unset
from palan.api._json_decode import decoder, parse_json
from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter
from palan.api.filters import Filters


__all__ = ["Reader", "reader", "split_query"]

Reader = Callable[[list[str]], Any]
"""Makes a value of all that was given for one parameter, of which there is at least one."""

_FALSE: Final = {"", "0", "no", "false", "none"}

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_INT64: Final = range(-(2**63), 2**63)

_SIZE: Final = "invalid resize {name} {quoted}: {reason}"
_SWARM_VERSION: Final = (
    "invalid {kind} version '{given}': strconv.ParseUint: parsing {quoted}: {reason}"
)
_BYTES: Final = (
    "{name} is in bytes and expects an integer, got {given}: "
    "strconv.Atoi: parsing {quoted}: {reason}"
)

_INTEGER_WORDING: Final[Mapping[tuple[str, str], str]] = {
    ("containers.resize", "h"): _SIZE.replace("{name}", "height"),
    ("containers.resize", "w"): _SIZE.replace("{name}", "width"),
    ("exec.resize", "h"): _SIZE.replace("{name}", "height"),
    ("exec.resize", "w"): _SIZE.replace("{name}", "width"),
    ("swarm.update", "version"): _SWARM_VERSION.replace("{kind}", "swarm"),
    ("nodes.update", "version"): _SWARM_VERSION.replace("{kind}", "node"),
    ("services.update", "version"): _SWARM_VERSION.replace("{kind}", "service"),
    ("volumes.update", "version"): _SWARM_VERSION.replace("{kind}", "swarm object"),
    ("secrets.update", "version"): "invalid secret version",
    ("configs.update", "version"): "invalid config version",
    **{
        ("build.prune", name): _BYTES.replace("{name}", name)
        for name in ("keep-storage", "reserved-space", "max-used-space", "min-free-space")
    },
}

_STRICT_BOOLEANS: Final = {
    ("swarm.update", "rotateWorkerToken"),
    ("swarm.update", "rotateManagerToken"),
    ("swarm.update", "rotateManagerUnlockKey"),
    ("services.list", "status"),
    ("services.inspect", "insertDefaults"),
    ("networks.inspect", "verbose"),
}
"""Where nonsense is refused rather than true."""

_NEVER_EMPTY: Final = {
    ("containers.archive_info", "path"),
    ("containers.archive_get", "path"),
    ("containers.archive_put", "path"),
}


def reader(operation: str, name: str, kind: Any) -> Reader:  # noqa: PLR0911 - a table of types
    """How the parameter ``name`` of an operation, ``group.operation``, is read."""
    kind = _plain(kind)
    if kind is str:
        return _string_reader(operation, name)
    if kind is bool:
        if (operation, name) in _STRICT_BOOLEANS:
            return _strict_boolean_reader(operation, name)
        return lambda given: given[0].strip().lower() not in _FALSE
    if kind is int:
        return _integer_reader(
            _INTEGER_WORDING.get((operation, name), "strconv.Atoi: parsing {quoted}: {reason}")
        )
    if kind is float:
        return _float
    if kind is Filters:
        return _filters_reader(operation)
    if get_origin(kind) is list and _plain(get_args(kind)[0]) is str:
        return list
    return _json_reader(name, kind)


def _plain(kind: Any) -> Any:
    """The type itself, without marks, null or absence."""
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


def _string_reader(operation: str, name: str) -> Reader:
    if (operation, name) not in _NEVER_EMPTY:
        return lambda given: given[0]

    def read(given: list[str]) -> str:
        if not given[0]:
            raise InvalidParameter(f"bad parameter: {name} cannot be empty")
        return given[0]

    return read


def _strict_boolean_reader(operation: str, name: str) -> Reader:
    def read(given: list[str]) -> bool:
        if not given[0]:
            return False
        if given[0] not in BOOLEANS:
            problem = f"invalid value for {name}: {given[0]}"
            if operation != "swarm.update":  # where dockerd does not say why
                problem += f": strconv.ParseBool: parsing {_quoted(given[0])}: invalid syntax"
            raise InvalidParameter(problem)
        return BOOLEANS[given[0]]

    return read


def _integer_reader(wording: str) -> Reader:
    def read(given: list[str]) -> int:
        text = given[0]
        reason = "invalid syntax"
        # 20 digits are more than any that fit; no need to make a number of a million.
        if _INTEGER.fullmatch(text):
            number = int(text) if len(text) <= 40 else _INT64.stop
            if number in _INT64:
                return number
            reason = "value out of range"
        raise InvalidParameter(wording.format(given=text, quoted=_quoted(text), reason=reason))

    return read


def _float(given: list[str]) -> float:
    try:
        return float(given[0])
    except ValueError:
        raise InvalidParameter(
            f"strconv.ParseFloat: parsing {_quoted(given[0])}: invalid syntax"
        ) from None


def _filters_reader(operation: str) -> Reader:
    # Of all, dockerd says it in other words here.
    before = "error reading volume filters: " if operation == "volumes.list" else ""

    def read(given: list[str]) -> Filters:
        try:
            return Filters.parse(given[0])
        except InvalidParameter as error:
            raise InvalidParameter(f"{before}{error.message}") from None

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
    """Take a query string apart, as strictly as Go does.

    Raises:
        InvalidParameter: a semicolon, or an escape that is none.
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
