"""Split the bytes of a Dockerfile into logical lines.

Comments are removed, lines that end with the escape character are joined with the next one,
and here-documents (``<<NAME``) are attached to the line that refers to them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.instructions import Heredoc
from palan.dockerfile.words import BLANKS, split, unquote


__all__ = ["Line", "Source", "read_lines"]

_DIRECTIVE: Final = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+)")
_KNOWN: Final = ("escape", "syntax", "check")
_HEREDOC: Final = re.compile(r"(\d*)<<(-?)([^<]*)")
_WITH_TEXTS: Final = re.compile(r"(?:onbuild\s+)*(?:add|copy|run)\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line.

    Attributes:
        number: number of its first physical line, from 1.
        text: the joined text, stripped.
        files: the here-documents that it refers to.
    """

    number: int
    text: str
    files: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The content of a file after splitting.

    Attributes:
        lines: its logical lines.
        escape: the escape character.
        warnings: messages about deprecated syntax.
    """

    lines: tuple[Line, ...]
    escape: str
    warnings: tuple[str, ...]


def read_lines(data: bytes) -> Source:
    """Split a Dockerfile into logical lines.

    Raises:
        DockerfileError: a parser directive is wrong, or a here-document is unterminated.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    physical = [line for line in re.split(r"(?<=\n)", text) if line]
    escape = _directives(physical)
    reader = _Reader(physical, escape)
    lines = tuple(reader.lines())
    if not lines:
        raise DockerfileError("file with no instructions")
    return Source(lines, escape, tuple(reader.warnings))


def _directives(physical: list[str]) -> str:
    """Return the escape character, which a parser directive at the top may set."""
    seen = set()
    escape = "\\"
    for number, line in enumerate(physical, 1):
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None or found[1].lower() not in _KNOWN:
            break
        name = found[1].lower()
        if name in seen:
            raise DockerfileError(f"only one {name} parser directive can be used", number)
        seen.add(name)
        if name == "escape":
            escape = found[2]
            if escape not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid escape token '{escape}' does not match ` or \\", number
                )
    return escape


class _Reader:
    """A reader that joins physical lines."""

    def __init__(self, physical: list[str], escape: str) -> None:
        self.warnings: list[str] = []
        self._physical = physical
        self._position = 0
        self._escape = escape
        sign = re.escape(escape)
        self._continued = re.compile(rf"(^|[^{sign}]){sign}[ \t]*$")

    def _next(self) -> str | None:
        if self._position >= len(self._physical):
            return None
        self._position += 1
        return self._physical[self._position - 1]

    def lines(self) -> Iterator[Line]:
        while (physical := self._next()) is not None:
            number = self._position
            text = physical.rstrip("\r\n").lstrip(BLANKS)
            if text.startswith("#"):
                continue
            text, more = self._join(text)
            if more:
                text = self._rest(text)
            if text := text.strip():
                files = self._texts(text, number)
                yield Line(number, text, tuple(files))

    def _join(self, text: str) -> tuple[str, bool]:
        joined = self._continued.sub(r"\1", text)
        return joined, joined != text

    def _rest(self, text: str) -> str:
        """Return ``text`` joined with the lines that continue it."""
        more = True
        empty = False
        while more and (physical := self._next()) is not None:
            bare = physical.strip(BLANKS)
            if bare.startswith("#"):
                continue
            if not bare:
                empty = True
                continue
            part, more = self._join(physical.rstrip("\r\n"))
            text += part
        if empty:
            self.warnings.append(f"Empty continuation line found in: {text}")
        return text

    def _texts(self, text: str, number: int) -> Iterator[Heredoc]:
        if "<<" not in text or not _WITH_TEXTS.match(text):
            return
        words = split(text, self._escape)
        if any(word.startswith("[") for word in words[1:2]):
            return
        for word in words:
            if heredoc := _heredoc(word):
                yield self._text(heredoc, number)

    def _text(self, heredoc: Heredoc, number: int) -> Heredoc:
        content: list[str] = []
        while (physical := self._next()) is not None:
            end = physical.rstrip("\r\n")
            if (end.lstrip("\t") if heredoc.chomp else end) == heredoc.name:
                return replace(heredoc, content="".join(content))
            content.append(physical)
        raise DockerfileError("unterminated heredoc", number)


def _heredoc(word: str) -> Heredoc | None:
    """Parse a word as the start of a here-document; None if it is not one."""
    found = _HEREDOC.fullmatch(word)
    if found is None or not found[3]:
        return None
    try:
        names = unquote(found[3])
    except DockerfileError:
        return None
    if len(names) != 1:
        return None
    return Heredoc(
        name=names[0],
        expand=names[0] == found[3],
        chomp=bool(found[2]),
        descriptor=int(found[1] or 0),
    )
