"""Regular expressions and globs from clients and files, matched in linear time.

Python's ``re`` backtracks, and it holds the interpreter's lock meanwhile: one filter such as
``(a+)+$`` would stop the whole engine. RE2 does not backtrack, and it reads the syntax of Go's
``regexp``, in which dockerd's users write. It is imported by the first expression that is
more than a literal text with anchors.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, Final


__all__ = ["BadPattern", "Pattern", "compile_any", "compile_glob", "compile_pattern"]

_LITERAL: Final = re.compile(r"(\^?)([\w/ @:,=<>~%&#;'\"-]*)(\$?)", re.ASCII)
"""A literal text between optional anchors, which needs no library."""

_NO_MEMBER: Final = r"\x{10FFFF}"
"""A noncharacter, for a range of a class that contains nothing."""

_GO_WORDS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "trailing \\": "trailing backslash at end of expression",
    "pattern too large - compile failed": "expression too large",
}
"""RE2's wording of errors, and that of Go's ``regexp/syntax``."""


class BadPattern(ValueError):
    """The text is malformed; the message is the one of Go's ``regexp.Compile``."""


class Pattern:
    """A compiled regular expression."""

    def __init__(self, text: str, *, dot_matches_newline: bool = False) -> None:
        """Compile an expression.

        Args:
            text: the expression, in RE2's syntax.
            dot_matches_newline: whether ``.`` also matches a newline.

        Raises:
            BadPattern: the text is not an expression.
        """
        self._literal: tuple[bool, str, bool] | None = None
        if simple := _LITERAL.fullmatch(text):
            self._literal = bool(simple[1]), simple[2], bool(simple[3])
        else:
            self._compiled = _compile(_encode(text), dot_matches_newline=dot_matches_newline)

    def search(self, text: str) -> bool:
        """Return whether the expression matches somewhere in a text."""
        if self._literal is None:
            return self._compiled.search(_encode(text)) is not None
        at_start, literal, at_end = self._literal
        if at_start and at_end:
            return text == literal
        if at_start:
            return text.startswith(literal)
        return text.endswith(literal) if at_end else literal in text

    def fullmatch(self, text: str) -> bool:
        """Return whether the expression matches a text as a whole."""
        if self._literal is None:
            return self._compiled.fullmatch(_encode(text)) is not None
        return text == self._literal[1]

    def groups(self, text: str) -> tuple[str, ...] | None:
        """Match a text as a whole; return the texts of the groups, or None without a match.

        The expression must have groups, all of which take part in a match.
        """
        match = self._compiled.fullmatch(_encode(text))
        return tuple(map(_decode, match.groups())) if match else None

    def replace(self, text: str, replacement: str, *, count: int = 0) -> str:
        """Replace the first ``count`` matches, or all if it is 0, by a literal text."""
        if self._literal is not None:
            return text.replace(self._literal[1], replacement, count or -1)
        encoded, pieces, end = _encode(text), list[bytes](), 0
        for match in self._compiled.finditer(encoded):
            first, last = match.span()
            # As in Go, an empty match just after another one does not count.
            if first == last == end and pieces:
                continue
            pieces += encoded[end:first], _encode(replacement)
            end = last
            if len(pieces) == 2 * count:
                break
        return _decode(b"".join((*pieces, encoded[end:])))


@functools.lru_cache(maxsize=256)
def compile_pattern(text: str, *, dot_matches_newline: bool = False) -> Pattern:
    """Compile a regular expression as Go's ``regexp.Compile`` does; the last ones are kept.

    Args:
        text: the expression, in RE2's syntax.
        dot_matches_newline: whether ``.`` also matches a newline.

    Raises:
        BadPattern: the text is not an expression.
    """
    return Pattern(text, dot_matches_newline=dot_matches_newline)


def compile_any(texts: Iterable[str]) -> Callable[[str], bool]:
    """Return a test whether one of several regular expressions matches somewhere in a text.

    As in filters of dockerd, a text that equals an expression matches it, and a malformed
    expression matches nothing else.
    """
    literals, patterns = set(texts), list[Pattern]()
    for text in literals:
        with contextlib.suppress(BadPattern):
            patterns.append(compile_pattern(text))
    return lambda text: text in literals or any(pattern.search(text) for pattern in patterns)


def compile_glob(text: str) -> Pattern:
    """Compile a shell pattern as Go's ``path.Match`` does: ``*`` and ``?`` stop at slashes.

    Raises:
        BadPattern: the pattern is malformed.
    """
    expression = ""
    rest = text
    while rest:
        character, rest = rest[0], rest[1:]
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "[":
            ranges, rest = _character_class(rest)
            expression += ranges
        elif character == "\\":
            if not rest:
                raise BadPattern("syntax error in pattern")
            expression += re.escape(rest[0])
            rest = rest[1:]
        else:
            expression += re.escape(character)
    return compile_pattern(expression, dot_matches_newline=True)


def _character_class(text: str) -> tuple[str, str]:
    """Translate the class that a text begins with, after its bracket; return what follows."""
    negated = text.startswith("^")
    rest = text[1:] if negated else text
    ranges = ""
    while not (rest.startswith("]") and ranges):
        first, rest = _class_member(rest)
        last = first
        if rest.startswith("-"):
            last, rest = _class_member(rest[1:])
        # As in Go, a class of which the end comes before the beginning has no members.
        if first <= last:
            ranges += f"{re.escape(first)}-{re.escape(last)}"
        else:
            ranges += _NO_MEMBER
    return f"[{'^' if negated else ''}{ranges}]", rest[1:]


def _class_member(text: str) -> tuple[str, str]:
    if not text or text[0] in "-]":
        raise BadPattern("syntax error in pattern")
    if text[0] == "\\":
        text = text[1:]
    if len(text) < 2:  # a class must still be closed
        raise BadPattern("syntax error in pattern")
    return text[0], text[1:]


def _compile(expression: bytes, *, dot_matches_newline: bool) -> Any:
    import re2  # noqa: PLC0415 - 20 ms and 3 MB, which most engines never need

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = dot_matches_newline
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise BadPattern(_go_message(error.args[0])) from None


def _go_message(message: bytes | str) -> str:
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    reason, _, fragment = text.partition(": ")
    return f"error parsing regexp: {_GO_WORDS.get(reason, reason)}: `{fragment}`"


def _encode(text: str) -> bytes:
    """Encode a text for RE2; file names may contain bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
