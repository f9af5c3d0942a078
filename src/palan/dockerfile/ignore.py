"""The patterns of ``.dockerignore``: which files a build's context leaves out; no I/O.

The patterns are those of Go's ``filepath.Match``, and ``**``. The last one that matches a
file, or a directory above it, decides; ``!`` makes an exception that includes the file again
(Docker's documentation, "Build context").
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from palan.dockerfile.errors import DockerfileError
from palan.patterns import BadPattern, Pattern, compile_pattern


__all__ = ["Ignore", "Verdict"]


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str
    negated: bool
    expression: Pattern


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for a path. The result for a directory is needed to judge its entries.

    Attributes:
        ignored: the path is left out.
        matched: for each pattern, whether it matches the path or a directory above it.
    """

    ignored: bool
    matched: tuple[bool, ...]


class Ignore:
    """The patterns of one ``.dockerignore``."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Compile the patterns.

        Raises:
            DockerfileError: a pattern is malformed.
        """
        self._patterns = [pattern for line in lines if (pattern := _pattern(line)) is not None]

    @classmethod
    def parse(cls, text: str) -> "Ignore":
        """Parse the text of a file."""
        lines = text.removeprefix("\ufeff").splitlines()
        return cls(line for line in lines if not line.startswith("#"))

    def judge(self, path: str, above: Verdict | None = None) -> Verdict:
        """Decide whether a path is left out.

        Args:
            path: relative to the context, with slashes.
            above: the verdict for its directory, None for an entry at the top.
        """
        ignored = False
        matched = []
        for number, pattern in enumerate(self._patterns):
            match = above is not None and above.matched[number]
            # A pattern that cannot change the result is not tried, nor recorded for entries below.
            if not match and pattern.negated == ignored:
                match = pattern.expression.fullmatch(path)
            matched.append(match)
            if match:
                ignored = not pattern.negated
        return Verdict(ignored, tuple(matched))

    def matches(self, path: str) -> bool:
        """Whether a path is left out; looks at all directories above it as well."""
        verdict = None
        parts = path.split("/")
        for number in range(1, len(parts) + 1):
            verdict = self.judge("/".join(parts[:number]), verdict)
        return verdict is not None and verdict.ignored

    def may_include_below(self, directory: str) -> bool:
        """Whether an exception (``!``) may include something below an ignored directory."""
        prefix = f"{directory}/"
        return any(
            pattern.negated
            and (pattern.text.startswith(prefix) or _wildcard_reaches(pattern.text, directory))
            for pattern in self._patterns
        )


def _wildcard_reaches(text: str, directory: str) -> bool:
    """Whether a pattern with wildcards may match something below ``directory``."""
    literal = re.split(r"[*?\[\\]", text, maxsplit=1)[0]
    return literal != text and (directory.startswith(literal) or literal.startswith(directory))


def _pattern(line: str) -> _Pattern | None:
    text = line.strip()
    negated = text.startswith("!")
    if negated:
        text = text[1:].strip()
        if not text:
            raise DockerfileError('illegal exclusion pattern: "!"')
    if not text:
        return None
    text = posixpath.normpath(text)
    if len(text) > 1:
        text = text.lstrip("/")
    try:
        return _Pattern(text, negated, compile_pattern(_expression(text)))
    except BadPattern as error:
        raise DockerfileError(f"{line!r} is not a pattern: {error}") from None


def _expression(text: str) -> str:
    """Translate a pattern into a regular expression."""
    made = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "*" and text.startswith("*", position):
            position += 1
            if text.startswith("/", position):
                position += 1
            made += ".*" if position == len(text) else "(?:.*/)?"
        elif character == "*":
            made += "[^/]*"
        elif character == "?":
            made += "[^/]"
        elif character == "\\" and position < len(text):
            made += re.escape(text[position])
            position += 1
        elif character == "[":
            end = text.find("]", position + 1)
            if end < 0:
                raise BadPattern("error parsing regexp: missing closing ]")
            made += f"[{text[position:end]}]"
            position = end + 1
        else:
            made += re.escape(character)
    return made
