"""The filter ``until`` of prunes: only what was made before a time."""

from palan.api import Filters
from palan.api.errors import InvalidParameter
from palan.engine.timestamps import parse_time


__all__ = ["made_before", "parse_until"]


def made_before(filters: Filters, *, prefix: str = "") -> int | None:
    """The filter ``until`` as nanoseconds since the epoch; None if it is not given.

    Args:
        filters: what the client gave.
        prefix: how dockerd begins to say what is wrong with its value, which differs.

    Raises:
        InvalidParameter: several are given, or it is no time.
    """
    given = filters.get("until")
    if len(given) > 1:
        raise InvalidParameter("more than one until filter specified")
    if not given:
        return None
    return parse_until(given[0], prefix=prefix)


def parse_until(text: str, *, prefix: str = "") -> int | None:
    """One value of ``until`` as nanoseconds since the epoch; None for zero.

    Args:
        text: a time, or a duration ago.
        prefix: how dockerd begins to say what is wrong with it, which differs.

    Raises:
        InvalidParameter: it is no time.
    """
    wrong = "value is empty"
    if text:
        try:
            return parse_time(text)
        except InvalidParameter:
            wrong = f'invalid seconds "{text}": invalid syntax'
    raise InvalidParameter(f"{prefix}failed to parse value as time or duration: {wrong}")
