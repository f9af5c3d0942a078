r"""The words of an instruction: splitting, quoting and variables.

Within a word, single quotes keep everything, double quotes keep blanks, and the escape
character keeps the next character. Outside of single quotes variables are replaced: ``$NAME``,
``${NAME}``, and with a modifier ``:-``, ``:+``, ``:?`` (or without the colon), ``#``,
``##``, ``%``, ``%%``, ``/`` and ``//`` as in a POSIX shell and bash.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.quoting import go_quoted
from palan.patterns import compile_pattern


__all__ = ["BLANKS", "expand", "expand_words", "split", "unquote"]

BLANKS: Final = " \t\r\n\f\v"
_SPECIAL: Final = "@*#?-$!"  # special parameters of a shell: never set here


def split(text: str, escape: str = "\\") -> list[str]:
    """Split ``text`` into words that keep their quotes and escapes."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            if character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in BLANKS:
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


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Remove the quotes of a word and replace its variables.

    Raises:
        DockerfileError: a quote or brace is not closed, or a required variable is not set.
    """
    return _expanded(text, variables, escape)[0]


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Split a text into words without quotes; a variable's value is split as well.

    Raises:
        DockerfileError: as :func:`expand`.
    """
    return _expanded(text, variables, escape)[1]


def _expanded(text: str, variables: Mapping[str, str], escape: str) -> tuple[str, list[str]]:
    try:
        return _Expander(text, variables.get, escape).run("")
    except DockerfileError as error:
        raise DockerfileError(f"failed to process {go_quoted(text)}: {error}") from None


def unquote(text: str) -> list[str]:
    """Split a text into words without quotes, without replacing variables.

    Raises:
        DockerfileError: a quote is not closed.
    """
    return _Expander(text, None, "\\").run("")[1]


class _Words:
    """Collects words; blanks outside of quotes separate them."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._word = ""
        self._begun = False

    def add(self, text: str) -> None:
        self._word += text
        self._begun = self._begun or bool(text)

    def quoted(self, text: str) -> None:
        self._word += text
        self._begun = True

    def blank(self) -> None:
        if self._begun:
            self._words.append(self._word)
        self._word, self._begun = "", False

    def unquoted_value(self, text: str) -> None:
        """Add the value of a variable outside of quotes; blanks in it separate words."""
        for character in text:
            if character in BLANKS:
                self.blank()
            else:
                self.add(character)

    def all(self) -> list[str]:
        self.blank()
        return self._words


class _Expander:
    """An expander that passes once over a text."""

    def __init__(
        self, text: str, value_of: Callable[[str], str | None] | None, escape: str
    ) -> None:
        self._text = text
        self._value_of = value_of
        self._escape = escape
        self._position = 0

    def _next(self) -> str:
        if self._position >= len(self._text):
            return ""
        self._position += 1
        return self._text[self._position - 1]

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def run(self, stop: str) -> tuple[str, list[str]]:
        """Expand up to the character ``stop`` ("": to the end); return one text and its words."""
        result = ""
        words = _Words()
        while True:
            character = self._next()
            if character == stop:
                return result, words.all()
            if not character:
                raise _missing(stop)
            if character in "'\"":
                part = self._single() if character == "'" else self._double()
                words.quoted(part)
            elif character == "$" and self._value_of:
                part = self._variable()
                words.unquoted_value(part)
            elif character == self._escape:
                part = self._next()
                words.quoted(part)
            elif character in BLANKS:
                part = character
                words.blank()
            else:
                part = character
                words.add(part)
            result += part

    def _single(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise DockerfileError(_unclosed("single-quote"))
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
                raise DockerfileError(_unclosed("double-quote"))
            if character == "$" and self._value_of:
                result += self._variable()
            elif character == self._escape:
                following = self._next()
                kept = following in ('"', "$", self._escape) and following
                result += kept or self._escape + following
            else:
                result += character

    def _name(self) -> str:
        start = self._position
        if self._peek() and self._peek() in _SPECIAL:
            self._position += 1
            return self._text[start : self._position]
        if self._peek().isdigit():
            while self._peek().isdigit():
                self._position += 1
            return self._text[start : self._position]
        while (c := self._peek()) and c.isascii() and (c.isalnum() or c == "_"):
            self._position += 1
        return self._text[start : self._position]

    def _variable(self) -> str:
        assert self._value_of  # noqa: S101 - checked by the callers
        if self._peek() != "{":
            name = self._name()
            return self._value_of(name) or "" if name else "$"
        self._next()
        if self._peek() == "}":
            raise DockerfileError("syntax error: bad substitution")
        name = self._name()
        value = self._value_of(name)
        operator = self._next()
        if operator == "}":
            return value or ""
        if operator == ":":
            operator += self._next()
        if operator in (":-", ":+", ":?", "-", "+", "?"):
            return self._modified(name, value, operator)
        if operator in ("#", "%"):
            return self._trimmed(value or "", operator)
        if operator == "/":
            return self._replaced(value or "")
        raise DockerfileError(
            f"unsupported modifier ({operator}) in substitution"
            if operator
            else "syntax error: missing '}'"
        )

    def _modified(self, name: str, value: str | None, operator: str) -> str:
        other, _ = self.run("}")
        is_set = value is not None and (bool(value) or not operator.startswith(":"))
        if operator.endswith("-"):
            return value or "" if is_set else other
        if operator.endswith("+"):
            return other if is_set else ""
        if is_set:
            return value or ""
        raise DockerfileError(f"{name}: {other or 'is not allowed to be unset'}")

    def _trimmed(self, value: str, operator: str) -> str:
        greedy = self._peek() == operator
        if greedy:
            self._next()
        pattern = self._pattern("}")
        # The other group gets the part of the value that is not trimmed.
        trimmed = f"({_expression(pattern, greedy=greedy)})"
        if operator == "#":
            parts = _split(f"{trimmed}(.*)", value)
            return parts[1] if parts else value
        parts = _split(f"({'.*?' if greedy else '.*'}){trimmed}", value)
        return parts[0] if parts else value

    def _pattern(self, stop: str) -> str:
        """Return the pattern up to the character ``stop``, in which escapes are kept."""
        pattern = ""
        while (character := self._next()) != stop:
            if not character:
                raise _missing(stop)
            if character in "'\"":
                pattern += self._single() if character == "'" else self._double()
            elif character == "$" and self._value_of:
                pattern += self._variable()
            elif character == self._escape:
                pattern += "\\" + self._next()
            else:
                pattern += character
        return pattern

    def _replaced(self, value: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._next()
        pattern = self._pattern("/")
        other, _ = self.run("}")
        expression = _expression(pattern, greedy=True)
        compiled = compile_pattern(expression, dot_matches_newline=True)
        return compiled.replace(value, other, count=0 if everywhere else 1)


def _split(expression: str, value: str) -> tuple[str, ...] | None:
    return compile_pattern(expression, dot_matches_newline=True).groups(value)


def _expression(pattern: str, *, greedy: bool) -> str:
    """Translate a shell pattern with ``*``, ``?`` and escapes into a regular expression."""
    made = ""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
            following = pattern[position : position + 1]
            if not following or following not in "*?\\/":
                raise DockerfileError(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{following}'"
                )
            made += re.escape(following)
        elif character == "*":
            made += ".*" if greedy else ".*?"
        else:
            made += "." if character == "?" else re.escape(character)
        position += 1
    return made


def _missing(stop: str) -> DockerfileError:
    inside = " in ${}" if stop == "/" else ""
    return DockerfileError(f"syntax error: missing '{stop}'{inside}")


def _unclosed(what: str) -> str:
    return f"unexpected end of statement while looking for matching {what}"
