"""Options of instructions: ``--name=value`` before the arguments."""

from collections.abc import Iterable
from typing import Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.suggest import suggestion
from palan.dockerfile.words import BLANKS


__all__ = ["Flags", "split_flags"]

_TRUE: Final = ("", "true")
_FALSE: Final = ("false",)


def split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Split the leading options, without their dashes, from the rest of the text."""
    flags: list[str] = []
    position = 0
    while True:
        while text[position : position + 1] and text[position] in BLANKS:
            position += 1
        if not text.startswith("--", position):
            return flags, text[position:].strip()
        word, position = _word(text, position, escape)
        if word == "--":
            return flags, text[position:].strip()
        flags.append(word[2:])


def _word(text: str, position: int, escape: str) -> tuple[str, int]:
    """Return the word at ``position`` without its quotes, and the position after it."""
    word = ""
    quote = ""
    while position < len(text):
        character = text[position]
        if character == escape and position + 1 < len(text):
            word += text[position + 1]
            position += 2
            continue
        position += 1
        if quote:
            if character == quote:
                quote = ""
                continue
        elif character in "'\"":
            quote = character
            continue
        elif character in BLANKS:
            break
        word += character
    return word, position


class Flags:
    """The options of one instruction."""

    def __init__(self, given: Iterable[str]) -> None:
        self._given = [flag.partition("=") for flag in given]

    def __bool__(self) -> bool:
        return bool(self._given)

    def check(self, known: Iterable[str], *, repeatable: Iterable[str] = ()) -> None:
        """Check that all options are known, and that only ``repeatable`` are given more than once.

        Raises:
            DockerfileError: an option is unknown or repeated.
        """
        seen: set[str] = set()
        for name, _, _ in self._given:
            if name not in known:
                raise DockerfileError(f"unknown flag: --{name}{suggestion(name, known)}")
            if name in seen and name not in repeatable:
                raise DockerfileError(f"duplicate flag specified: --{name}")
            seen.add(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of an option.

        Raises:
            DockerfileError: the option is given without a value.
        """
        found = [(equals, value) for each, equals, value in self._given if each == name]
        if not all(equals for equals, _ in found):
            raise DockerfileError(f"missing a value on flag: --{name}")
        return tuple(value for _, value in found)

    def text(self, name: str) -> str:
        """Return the value of an option, "" if it is not given.

        Raises:
            DockerfileError: the option is given without a value.
        """
        return next(iter(self.texts(name)), "")

    def given(self, name: str) -> bool:
        """Whether an option is given."""
        return any(each == name for each, _, _ in self._given)

    def switch(self, name: str) -> bool | None:
        """Return the value of a boolean option, None if it is not given.

        Raises:
            DockerfileError: the value is not a boolean.
        """
        for each, _, value in self._given:
            if each == name:
                if value.lower() in _TRUE:
                    return True
                if value.lower() not in _FALSE:
                    raise DockerfileError(
                        f"expecting boolean value for flag --{name}, not: {value}"
                    )
                return False
        return None

    def as_written(self) -> tuple[str, ...]:
        """Return all options without their dashes."""
        return tuple("".join(flag) for flag in self._given)
