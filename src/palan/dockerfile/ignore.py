"""What ``.dockerignore`` leaves out of a build's context, as Docker reads it; no I/O.

Patterns are those of Go's ``filepath.Match`` and ``**``; the last one that matches a file, or
a directory above it, decides; ``!`` takes back in (Docker's documentation, "Build context").
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from palan.dockerfile.errors import DockerfileError


__all__ = ["Ignore", "Verdict"]


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str
    takes_in: bool
    expression: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a path; its directory's is needed for what is in it."""

    ignored: bool
    matched: tuple[bool, ...]


class Ignore:
    """The patterns of one file."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read patterns.

        Raises:
            DockerfileError: one of them is none.
        """
        self._patterns = [pattern for line in lines if (pattern := _pattern(line)) is not None]

    @classmethod
    def parse(cls, text: str) -> "Ignore":
        """Read a file's text."""
        lines = text.removeprefix("\ufeff").splitlines()
        return cls(line for line in lines if not line.startswith("#"))

    @property
    def takes_in(self) -> bool:
        """Whether something of an ignored directory may be taken in nevertheless."""
        return any(pattern.takes_in for pattern in self._patterns)

    def judge(self, path: str, above: Verdict | None = None) -> Verdict:
        """Whether a path is left out.

        Args:
            path: below the context, with slashes.
            above: what was found out about its directory, None for what is at the top.
        """
        ignored = False
        matched = []
        for number, pattern in enumerate(self._patterns):
            match = above is not None and above.matched[number]
            # What would not change anything is not looked at, nor remembered for what is below.
            if not match and pattern.takes_in == ignored:
                match = pattern.expression.fullmatch(path) is not None
            matched.append(match)
            if match:
                ignored = not pattern.takes_in
        return Verdict(ignored, tuple(matched))

    def matches(self, path: str) -> bool:
        """Whether a path is left out, with all directories above it looked at."""
        verdict = None
        parts = path.split("/")
        for number in range(1, len(parts) + 1):
            verdict = self.judge("/".join(parts[:number]), verdict)
        return verdict is not None and verdict.ignored

    def may_take_in_below(self, directory: str) -> bool:
        """Whether a pattern may take in something of an ignored directory."""
        prefix = f"{directory}/"
        return any(
            pattern.takes_in
            and (pattern.text.startswith(prefix) or _first_wild(pattern.text, directory))
            for pattern in self._patterns
        )


def _first_wild(text: str, directory: str) -> bool:
    """Whether wildcards of a pattern begin before it has left a directory."""
    literal = re.split(r"[*?\[\\]", text, maxsplit=1)[0]
    return literal != text and (directory.startswith(literal) or literal.startswith(directory))


def _pattern(line: str) -> _Pattern | None:
    text = line.strip()
    takes_in = text.startswith("!")
    if takes_in:
        text = text[1:].strip()
        if not text:
            raise DockerfileError('illegal exclusion pattern: "!"')
    if not text:
        return None
    text = posixpath.normpath(text)
    if len(text) > 1:
        text = text.lstrip("/")
    try:
        return _Pattern(text, takes_in, re.compile(_expression(text)))
    except re.error as error:
        raise DockerfileError(f"{line!r} is no pattern: {error}") from None


def _expression(text: str) -> str:
    """The regular expression of a pattern."""
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
                raise re.error("missing ]")
            # What Python may give a meaning some day has none here.
            inner = re.sub(r"[\[&~|]", r"\\\g<0>", text[position:end]).replace("--", "\\--")
            made += f"[{inner}]"
            position = end + 1
        else:
            made += re.escape(character)
    return made
