"""The check of keyword options that a function takes as ``**options``; no I/O."""

import difflib
from collections.abc import Iterable, Mapping


__all__ = ["check_options"]


def check_options(
    call: str,
    given: Mapping[str, object],
    known: Iterable[str],
    hints: Mapping[str, str],
    others: Iterable[str] = (),
) -> None:
    """Refuse options that do not exist, as Python does for functions without ``**options``.

    Args:
        call: the function's name, for the message.
        given: the options by name.
        known: the names that exist.
        hints: what to write instead, by the names that Docker or other clients use.
        others: the names of arguments beside the options, which may be meant.

    Raises:
        TypeError: an option does not exist; the message names the likely right one.
    """
    names = set(known)
    for name in given:
        if name in names:
            continue
        hint = hints.get(name, "")
        if not hint:
            close = difflib.get_close_matches(name, sorted({*names, *others}), 1, 0.7)
            hint = close[0] if close else ""
        text = f"{call}() got an unexpected keyword argument {name!r}"
        raise TypeError(text + (f"; use {hint}" if hint else ""))
