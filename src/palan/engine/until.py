"""The filter ``until`` of prunes, which selects objects created before a time."""

from palan.api import Filters
from palan.api.errors import InvalidParameter
from palan.engine.timestamps import parse_time


__all__ = ["made_before", "parse_until"]


def made_before(filters: Filters, *, prefix: str = "") -> int | None:
    """Return the filter ``until`` as nanoseconds since the epoch; None if it is absent.

    Args:
        filters: the filters of the request.
        prefix: the beginning of dockerd's message about a wrong value, which differs.

    Raises:
        InvalidParameter: several values are given, or the value is malformed.
    """
    given = filters.get("until")
    if len(given) > 1:
        raise InvalidParameter("more than one until filter specified")
    if not given:
        return None
    return parse_until(given[0], prefix=prefix)


def parse_until(text: str, *, prefix: str = "") -> int | None:
    """Return a value of ``until`` as nanoseconds since the epoch; None for zero.

    Args:
        text: a time, or a duration ago.
        prefix: the beginning of dockerd's message about a wrong value, which differs.

    Raises:
        InvalidParameter: it is malformed.
    """
    wrong = "value is empty"
    if text:
        try:
            return parse_time(text)
        except InvalidParameter:
            wrong = f'invalid seconds "{text}": invalid syntax'
    raise InvalidParameter(f"{prefix}failed to parse value as time or duration: {wrong}")
