"""Annotations of request fields: all that a declaration says beside a field's type.

They stand in the field's type, ``Annotated[int, Integer("invalid height {quoted}")]``, and are
read by the decoder of requests, the OpenAPI document and the client, so that nothing about a
parameter is written twice. The error texts are dockerd's, since clients match on them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

from palan.api.errors import InvalidParameter
from palan.api.filters import Filters


__all__ = [
    "LABEL",
    "NOT_LABEL",
    "UNTIL",
    "Body",
    "Filter",
    "FilterSet",
    "Header",
    "Integer",
    "NotEmpty",
    "StrictBoolean",
    "split_annotated",
    "version_integer",
]


@dataclass(frozen=True, slots=True)
class Header:
    """The field is carried in a header: text as it is, everything else as JSON in base64."""

    name: str
    description: str = ""
    """A description for fields that have no docstring of their own."""


@dataclass(frozen=True, slots=True)
class Body:
    """Deviations of one request body from the rules for all bodies."""

    needed: bool = False
    """Whether a missing body is an error; elsewhere dockerd takes it for ``{}``."""

    struct: str = ""
    """The name of dockerd's struct, where its messages contain it."""

    error_prefix: str = ""
    """The beginning of every message about this body."""

    optional: bool = False
    """Whether clients may call the endpoint without a body, although it is a stream."""


@dataclass(frozen=True, slots=True)
class Integer:
    """The error text of a parameter that is not an integer, or out of range."""

    error: str = "strconv.Atoi: parsing {quoted}: {reason}"
    """May contain ``{name}``, ``{given}``, ``{quoted}`` and ``{reason}``."""

    values: range = range(-(2**63), 2**63)
    """The numbers that are in range; a size of a terminal, for example, has 32 bits."""


@dataclass(frozen=True, slots=True)
class StrictBoolean:
    """Accept the words of Go's ``strconv.ParseBool`` only; elsewhere any other word is true."""

    error: str = (
        "invalid value for {name}: {given}: strconv.ParseBool: parsing {quoted}: invalid syntax"
    )
    """May contain ``{name}``, ``{given}`` and ``{quoted}``."""


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """Refuse an empty or missing parameter."""

    error: str = "bad parameter: {name} cannot be empty"
    """May contain ``{name}``."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a list, prune or events endpoint."""

    name: str
    description: str
    values: tuple[str, ...] = ()
    """The accepted values; empty if any text is accepted."""

    error: str = "invalid filter '{name}={value}'"
    """The error text of a value not among ``values``.

    May contain ``{name}``, ``{value}`` and ``{values}``.
    """

    boolean: bool = False
    """Whether values are true or false; see :meth:`palan.api.Filters.boolean`."""

    integer: bool = False
    """Whether values are integers."""

    def check(self, values: list[str]) -> None:
        """Refuse values that the filter does not accept.

        Raises:
            InvalidParameter: a value is not among the accepted ones.
        """
        if not self.values:
            return
        for value in values:
            if value not in self.values:
                raise InvalidParameter(
                    self.error.format(name=self.name, value=value, values=", ".join(self.values))
                )


@dataclass(frozen=True, slots=True, init=False)
class FilterSet:
    """The filters that an endpoint accepts in its parameter ``filters``."""

    filters: tuple[Filter, ...]
    unknown: str
    """The error text of a name that is not declared; may contain ``{name}``."""

    malformed: str
    """The error text of a parameter that is not a JSON object of lists."""

    ignores_unknown: bool
    """Whether names that are not declared are ignored."""

    late: bool
    """Whether the engine calls :meth:`check`, because it has to refuse for another reason first."""

    def __init__(
        self,
        *filters: Filter,
        unknown: str = "invalid filter '{name}'",
        malformed: str = "invalid filter",
        ignores_unknown: bool = False,
        late: bool = False,
    ) -> None:
        object.__setattr__(self, "filters", filters)
        object.__setattr__(self, "unknown", unknown)
        object.__setattr__(self, "malformed", malformed)
        object.__setattr__(self, "ignores_unknown", ignores_unknown)
        object.__setattr__(self, "late", late)

    def check(self, given: Filters) -> None:
        """Refuse undeclared names first, then values that a filter does not accept.

        Raises:
            InvalidParameter: in dockerd's words.
        """
        if not self.ignores_unknown:
            names = {declared.name for declared in self.filters}
            for name in given:
                if name not in names:
                    raise InvalidParameter(self.unknown.format(name=name))
        for declared in self.filters:
            declared.check(given.get(declared.name))


LABEL: Final = Filter("label", "Labels that the object has, as ``key`` or ``key=value``.")
NOT_LABEL: Final = Filter("label!", "Labels that the object does not have.")
UNTIL: Final = Filter(
    "until", "Only objects created before this time: Unix seconds, RFC 3339, or a duration ago."
)


def version_integer(kind: str) -> Integer:
    """Return the annotation of the version that an object of the swarm is updated from.

    Args:
        kind: dockerd's word for the object.
    """
    return Integer(
        f"invalid {kind} version '{{given}}': strconv.ParseUint: parsing {{quoted}}: {{reason}}"
    )


def split_annotated(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the bare type of an annotation, and what it is annotated with."""
    if get_origin(kind) is Annotated:
        bare, *annotations = get_args(kind)
        return bare, tuple(annotations)
    return kind, ()
