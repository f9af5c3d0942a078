"""The check of arguments' types, so that an error names the argument; no I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from palan.api._base import UNSET, Unset
from palan.api.filters import Filters


__all__ = ["check_seconds", "check_type"]

Check = Callable[[Any, str], None]
"""Raises ``TypeError`` if a value has the wrong type, given the argument's name."""

_NUMBERS: Final = (int, float)


def check_type(kind: Any, value: Any, name: str) -> None:
    """Refuse a value that is not of an argument's type; None and ``UNSET`` count as absent.

    Tuples and sets are accepted as lists, as they are sent the same way. A dictionary is accepted
    as a message, and sent unchanged.

    Raises:
        TypeError: the type is wrong; the message has the name of the argument, or of the field
            or item in it.
    """
    if value is not None and value is not UNSET:
        _check_for(kind)(value, name)


def check_seconds(value: object, name: str = "timeout") -> None:
    """Refuse a time limit that is neither a number nor None.

    Raises:
        TypeError: the type is wrong.
    """
    if value is not None and (not isinstance(value, _NUMBERS) or isinstance(value, bool)):
        raise TypeError(f"{name} must be a number of seconds or None, not {type(value).__name__}")


@cache
def _check_for(kind: Any) -> Check:  # noqa: C901, PLR0911 - a table of types
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _check_for(inner[0])
    if origin in (Union, UnionType):
        return _union([one for one in inner if one not in (NoneType, Unset)])
    if origin is Literal:
        return _instance((type(inner[0]),), "str")
    if origin is tuple:
        return _sequence(Union[tuple(one for one in inner if one is not ...)])  # noqa: UP007
    if origin in (list, set, frozenset, Sequence):
        return _sequence(inner[0] if inner else Any)
    if origin in (dict, Mapping):
        return _mapping(inner[1])
    if kind is Filters:
        return _filters
    if kind is str:
        return _instance((str,), "str")
    if kind is float:
        return _instance(_NUMBERS, "float")
    if kind is int:
        return _integer
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _message(kind)
    if isinstance(kind, type) and kind is not object:
        return _instance((kind,), kind.__name__)
    return _anything


def _wrong(name: str, wanted: str, value: Any) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def _anything(value: Any, name: str) -> None:
    """Accept every value."""


def _instance(kinds: tuple[type, ...], wanted: str) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, kinds):
            raise _wrong(name, wanted, value)

    return check


def _integer(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, "int", value)


def _union(kinds: list[Any]) -> Check:
    checks = [_check_for(kind) for kind in kinds]
    if len(checks) == 1:
        return checks[0]

    def check(value: Any, name: str) -> None:
        wanted = []
        inner: TypeError | None = None
        for kind, one in zip(kinds, checks, strict=True):
            try:
                one(value, name)
            except TypeError as error:
                if not str(error).startswith(f"{name} must"):
                    # The type is right, and that of an item is wrong.
                    inner = error
                wanted.append(_name(kind))
            else:
                return
        raise inner or _wrong(name, " or ".join(dict.fromkeys(wanted)), value)

    return check


def _sequence(kind: Any) -> Check:
    check_item = _check_for(kind)

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list | tuple | set | frozenset):
            raise _wrong(name, f"a list of {_name(kind)}", value)
        for place, one in enumerate(value):
            if one is None and kind is not Any:
                raise _wrong(f"{name}[{place}]", _name(kind), one)
            check_item(one, f"{name}[{place}]")

    return check


def _mapping(kind: Any) -> Check:
    check_value = _check_for(kind)

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise _wrong(name, "a dict", value)
        for key, one in value.items():
            if one is not None:
                check_value(one, f"{name}[{key!r}]")

    return check


def _filters(value: Any, name: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(name, "a dict", value)
    for key, one in value.items():
        if not isinstance(one, str | bool | Iterable):
            raise _wrong(f"{name}[{key!r}]", "a str, a bool or several str", one)


def _message(kind: type[msgspec.Struct]) -> Check:
    fields: list[tuple[str, Any]] = []

    def check(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            return
        if not isinstance(value, kind):
            raise _wrong(name, kind.__name__, value)
        if not fields:
            # At first use, for messages that contain themselves.
            fields.extend((entry.name, entry.type) for entry in msgspec.structs.fields(kind))
        for field, wanted in fields:
            check_type(wanted, getattr(value, field), f"{name}.{field}")

    return check


def _name(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _name(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_name(one) for one in inner if one is not NoneType))
    if origin in (dict, Mapping):
        return "a dict"
    if origin in (list, Sequence, tuple):
        return f"a list of {_name(inner[0])}"
    return "anything" if kind is Any else str(getattr(kind, "__name__", kind))
