"""A line taken apart: the instruction's name, options and arguments.

What can be wrong here makes the file no Dockerfile at all, whatever its instructions are;
it is found out for all lines before the instructions are looked at, as dockerd does.
"""

import json
import re
from typing import Any, Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.flags import Flags, take_flags
from palan.dockerfile.instructions import Command, Heredoc
from palan.dockerfile.lines import Line
from palan.dockerfile.words import split


__all__ = ["Node", "json_list"]

_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_MAYBE_LISTS: Final = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
_PAIRS: Final = ("ENV", "LABEL")


class Node:
    """A line taken apart.

    Attributes:
        number: of the line.
        source: all of it.
        word: the name of the instruction as it was written.
        name: the same in upper case.
        flags: the options.
        rest: what comes after them.
        listed: the arguments, if they are a list of texts as JSON.
        pairs: names and values, of an instruction that has some.
        files: texts that the line refers to.
        escape: the escape character.
    """

    def __init__(self, line: Line, escape: str) -> None:
        """Take a line apart.

        Raises:
            DockerfileError: that cannot be done.
        """
        parts = _BLANKS.split(line.text, maxsplit=1)
        self.number, self.source, self.escape = line.number, line.text, escape
        self.word = parts[0]
        self.name = self.word.upper()
        self.files: tuple[Heredoc, ...] = line.files
        flags, self.rest = take_flags(parts[1] if len(parts) > 1 else "", escape)
        self.flags = Flags(flags)
        self.listed = json_list(self.rest) if self.name in _MAYBE_LISTS else None
        self.pairs = self._pairs() if self.name in _PAIRS else ()
        if self.name == "HEALTHCHECK":
            json_list(_BLANKS.split(self.rest, maxsplit=1)[-1])
        elif self.name == "ONBUILD" and self.rest:
            Node(Line(line.number, self.rest, line.files), escape)

    def words(self) -> list[str]:
        """The arguments, separated by blanks, whatever is in them."""
        return _BLANKS.split(self.rest) if self.rest else []

    def one(self) -> str:
        """The one argument: the rest of the line.

        Raises:
            DockerfileError: there is none.
        """
        if not self.rest:
            raise DockerfileError(f"{self.name} requires exactly one argument")
        return self.rest

    def command(self) -> Command:
        """What to run."""
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
    """A list of texts with which a text begins; what comes after it does not count.

    Raises:
        DockerfileError: the list is of something else.
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
