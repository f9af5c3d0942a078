"""Split a logical line into the instruction's name, options and arguments.

Errors found here make the whole file invalid, whatever the instructions are. As in dockerd,
all lines are split before the first instruction is parsed.
"""

import json
import re
from typing import Any, Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.flags import Flags, split_flags
from palan.dockerfile.instructions import Command, Heredoc
from palan.dockerfile.lines import Line
from palan.dockerfile.words import split


__all__ = ["Node", "json_list"]

_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_MAYBE_LISTS: Final = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
_PAIRS: Final = ("ENV", "LABEL")


class Node:
    """A logical line, split.

    Attributes:
        number: the number of the line.
        source: the whole line.
        word: the name of the instruction as written.
        name: the name in upper case.
        flags: the options.
        rest: the text after the options.
        listed: the arguments if they are a JSON array of strings, else None.
        pairs: names and values, for ``ENV`` and ``LABEL``.
        files: the here-documents that the line refers to.
        escape: the escape character.
    """

    def __init__(self, line: Line, escape: str) -> None:
        """Split a line.

        Raises:
            DockerfileError: the line is malformed.
        """
        parts = _BLANKS.split(line.text, maxsplit=1)
        self.number, self.source, self.escape = line.number, line.text, escape
        self.word = parts[0]
        self.name = self.word.upper()
        self.files: tuple[Heredoc, ...] = line.files
        flags, self.rest = split_flags(parts[1] if len(parts) > 1 else "", escape)
        self.flags = Flags(flags)
        self.listed = json_list(self.rest) if self.name in _MAYBE_LISTS else None
        self.pairs = self._pairs() if self.name in _PAIRS else ()
        if self.name == "HEALTHCHECK":
            json_list(_BLANKS.split(self.rest, maxsplit=1)[-1])
        elif self.name == "ONBUILD" and self.rest:
            Node(Line(line.number, self.rest, line.files), escape)

    def words(self) -> list[str]:
        """Split the arguments at blanks; quotes have no meaning."""
        return _BLANKS.split(self.rest) if self.rest else []

    def single_argument(self) -> str:
        """Return the single argument: the rest of the line.

        Raises:
            DockerfileError: the argument is missing.
        """
        if not self.rest:
            raise DockerfileError(f"{self.name} requires exactly one argument")
        return self.rest

    def command(self) -> Command:
        """Return the arguments as a command."""
        if self.listed is not None:
            return Command(self.listed, shell=False)
        return Command((self.rest,) if self.rest else (), shell=True)  # noqa: S604 - only says so

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        words = split(self.rest, self.escape)
        if words and "=" not in words[0]:  # the old form: a name and the rest of the line
            parts = _BLANKS.split(self.rest, maxsplit=1)
            if len(parts) < 2:
                raise DockerfileError(f"{self.name} must have two arguments")
            return ((parts[0], parts[1]),)
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise DockerfileError(
                    f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
                )
            pairs.append((name, value))
        return tuple(pairs)


def json_list(text: str) -> tuple[str, ...] | None:
    """Parse the JSON array of strings at the beginning of a text; ignore what follows it.

    Returns:
        The strings, or None if the text does not begin with an array.

    Raises:
        DockerfileError: the array has elements other than strings.
    """
    if not text.startswith("["):
        return None
    try:
        value: Any = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in value):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only"
        )
    return tuple(value)
