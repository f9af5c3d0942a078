"""Suggestions for misspelt words."""

from collections.abc import Iterable


__all__ = ["suggestion"]

_NEAR = 3
"""The edit distance from which a word is not suggested."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean X?)`` for a known word similar to ``word``, else ""."""
    best, found = _NEAR, ""
    for each in known:
        distance = _distance(word, each)
        if distance < best:
            best, found = distance, each
    return f" (did you mean {found}?)" if found else ""


def _distance(one: str, other: str) -> int:
    """Return the Levenshtein distance of two words."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        here = [row]
        for column, another in enumerate(other, 1):
            replaced = above[column - 1] + (letter != another)
            here.append(min(above[column] + 1, here[-1] + 1, replaced))
        above = here
    return above[-1]
