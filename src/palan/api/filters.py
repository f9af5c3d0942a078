"""The ``filters`` query parameter.

Its form is ``{"label": ["a=b"]}`` or, from older clients, ``{"label": {"a=b": true}}``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter


__all__ = ["Filters"]


class Filters:
    """The filters of a list or prune call.

    An object is selected if it matches at least one value of every given name.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Iterable[str]] | None = None) -> None:
        self._values = {name: list(given) for name, given in (values or {}).items()}

    @classmethod
    def parse(cls, text: str) -> "Filters":
        """Parse the query parameter; an empty one means no filters.

        Raises:
            InvalidParameter: it has neither of the two forms.
        """
        if not text:
            return cls()
        try:
            raw: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise InvalidParameter("invalid filter") from None
        if raw is None:
            return cls()
        if not isinstance(raw, dict):
            raise InvalidParameter("invalid filter")
        values: dict[str, list[str]] = {}
        for name, given in raw.items():
            if isinstance(given, dict) and all(isinstance(v, bool) for v in given.values()):
                values[name] = list(given)
            elif isinstance(given, list) and all(isinstance(v, str) for v in given):
                values[name] = given
            elif given is None:
                values[name] = []
            else:
                raise InvalidParameter("invalid filter")
        return cls(values)

    def __contains__(self, name: str) -> bool:
        """Whether any value is given for ``name``; a name without values does not count."""
        return bool(self._values.get(name))

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Filters({self._values!r})"

    def get(self, name: str) -> list[str]:
        """Return the values given for ``name``; empty if the name is not given."""
        return self._values.get(name, [])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the given names, with or without values."""
        return iter(self._values)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return the value of a filter that is true or false, such as ``dangling``.

        Raises:
            InvalidParameter: the values are not booleans, or contradict each other.
        """
        if name not in self._values:
            return default
        given = list(dict.fromkeys(self._values[name]))
        if not given:
            raise InvalidParameter(f"invalid filter '{name}'")
        meant = [BOOLEANS.get(value) for value in given]
        for truth in (True, False):
            if all(each is truth for each in meant):
                return truth
        raise InvalidParameter(f"invalid filter '{name}=[{' '.join(given)}]'")

    def exact(self, name: str, value: str) -> bool:
        """Whether ``value`` is among the values of ``name``, or the name has no values."""
        given = self._values.get(name)
        return not given or value in given

    def matches(self, name: str, test: Callable[[str], bool]) -> bool:
        """Whether ``test`` is true for a value of ``name``, or the name has no values."""
        given = self._values.get(name)
        return not given or any(test(value) for value in given)

    def labels(self, labels: Mapping[str, str] | None, *, together: bool = False) -> bool:
        """Whether labels match all values of ``label``, and no value of ``label!``.

        Args:
            labels: the labels of an object.
            together: whether the values of ``label!`` only exclude objects that match all of
                them, as in dockerd those of containers, networks and volumes.
        """
        have = labels or {}

        def has(wanted: str) -> bool:
            key, equals, value = wanted.partition("=")
            return key in have and (not equals or have[key] == value)

        if not all(has(wanted) for wanted in self.get("label")):
            return False
        unwanted = self.get("label!")
        if together and "label!" in self._values:
            return not all(map(has, unwanted))
        return not any(map(has, unwanted))
