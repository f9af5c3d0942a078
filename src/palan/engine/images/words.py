r"""The words of a Dockerfile instruction: splitting, quoting and variables.

Within a word, single quotes keep everything, double quotes keep blanks, a backslash
keeps the next character, and outside of single quotes ``$NAME``, ``${NAME}``,
``${NAME:-word}`` and ``${NAME:+word}`` are replaced.
"""

from collections.abc import Mapping
from typing import Final

from palan.api.errors import InvalidParameter


__all__ = ["expand", "split"]

_ESCAPE: Final = "\\"
_BLANKS: Final = " \t\r\n\f\v"


def split(text: str) -> list[str]:
    """The words of ``text``, still with their quotes and backslashes."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == _ESCAPE and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            if character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in _BLANKS:
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += character
        position += 1
    if word:
        words.append(word)
    return words


def expand(word: str, variables: Mapping[str, str]) -> str:
    """A word without its quotes, its variables replaced.

    Raises:
        InvalidParameter: a quote or a brace is not closed.
    """
    return _Expander(word, variables).run("")


class _Expander:
    """One pass over a word."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._position = 0

    def _next(self) -> str:
        if self._position >= len(self._text):
            return ""
        self._position += 1
        return self._text[self._position - 1]

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def run(self, stop: str) -> str:
        """Up to the character ``stop``, or to the end where that is ""."""
        result = ""
        while True:
            character = self._next()
            if character == stop:
                return result
            if not character:
                raise InvalidParameter(f"unexpected end of statement while looking for {stop!r}")
            if character == "'":
                result += self._single()
            elif character == '"':
                result += self._double()
            elif character == "$":
                result += self._variable()
            elif character == _ESCAPE:
                result += self._next() or _ESCAPE
            else:
                result += character

    def _single(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise InvalidParameter(
                "unexpected end of statement while looking for matching single-quote"
            )
        result = self._text[self._position : end]
        self._position = end + 1
        return result

    def _double(self) -> str:
        result = ""
        while True:
            character = self._next()
            if character == '"':
                return result
            if not character:
                raise InvalidParameter(
                    "unexpected end of statement while looking for matching double-quote"
                )
            if character == "$":
                result += self._variable()
            elif character == _ESCAPE:
                following = self._next()
                result += following if following in ('"', "$", _ESCAPE) else _ESCAPE + following
            else:
                result += character

    def _name(self) -> str:
        start = self._position
        while (c := self._peek()) and c.isascii() and (c.isalnum() or c == "_"):
            if self._position == start and c.isdigit():
                self._position += 1
                break
            self._position += 1
        return self._text[start : self._position]

    def _variable(self) -> str:
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._next()
        name = self._name()
        if not name:
            raise InvalidParameter("unsupported modifier in substitution: a name is missing")
        value = self._variables.get(name)
        character = self._next()
        if character == "}":
            return value or ""
        operator = character + self._next() if character == ":" else character
        if operator not in (":-", ":+", "-", "+"):
            raise InvalidParameter(f"unsupported modifier ({operator}) in substitution")
        other = self.run("}")
        is_set = value is not None and (bool(value) or not operator.startswith(":"))
        if operator.endswith("-"):
            return value or "" if is_set else other
        return other if is_set else ""
