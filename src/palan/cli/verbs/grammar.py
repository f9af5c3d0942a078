"""docker's grammar of options, which differs from argparse's in several ways.

Values may begin with a dash, flags take ``=true`` and ``=false``, short options can be joined, and
everything after the image of ``run`` belongs to the command, also ``--``.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field


__all__ = ["GrammarError", "Words", "read_words"]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class GrammarError(Exception):
    """The words do not follow the grammar; the text is docker's."""


@dataclass
class Words:
    """The words after a verb, in a form that argparse reads without doubt.

    Attributes:
        options: the options, each in one word with its value.
        positionals: the other words.
        switches: the values of flags with ``=true`` or ``=false``, by destination.
    """

    options: list[str] = field(default_factory=list)
    positionals: list[str] = field(default_factory=list)
    switches: dict[str, bool] = field(default_factory=dict)


def read_words(
    given: list[str], actions: dict[str, argparse.Action], *, stop_at: int | None
) -> Words:
    """Separate options from other words.

    Args:
        given: the words after the verb.
        actions: the options by their names, ``--env`` and ``-e``.
        stop_at: the number of positional words after which no more options are read, or None.

    Raises:
        GrammarError: an option is unknown or has no value.
    """
    made = Words()
    words = iter(given)
    for word in words:
        if stop_at is not None and len(made.positionals) >= stop_at:
            made.positionals += [word, *words]
        elif word == "--":
            made.positionals += words
        elif word.startswith("--"):
            _read_long(word, words, actions, made)
        elif word.startswith("-") and word != "-":
            _read_short(word, words, actions, made)
        else:
            made.positionals.append(word)
    return made


def _read_long(
    word: str, words: Iterator[str], actions: dict[str, argparse.Action], made: Words
) -> None:
    name, equals, value = word.partition("=")
    action = actions.get(name)
    if action is None:
        raise GrammarError(f"unknown flag: {name}")
    if action.nargs != 0:
        if not equals:
            found = next(words, None)
            if found is None:
                raise GrammarError(f"flag needs an argument: {name}")
            value = found
        made.options.append(f"{name}={value}")
    elif equals:
        _switch(action, value, made)
    else:
        _switch_on(action, name, made)


def _read_short(
    word: str, words: Iterator[str], actions: dict[str, argparse.Action], made: Words
) -> None:
    rest = word[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        action = actions.get(f"-{letter}")
        if action is None:
            raise GrammarError(f"unknown shorthand flag: {letter!r} in {word}")
        if action.nargs == 0:
            if rest.startswith("="):
                _switch(action, rest[1:], made)
                return
            _switch_on(action, f"-{letter}", made)
            continue
        value: str | None = rest.removeprefix("=") if rest else next(words, None)
        if value is None:
            raise GrammarError(f"flag needs an argument: {letter!r} in {word}")
        name = next((one for one in action.option_strings if one.startswith("--")), "")
        made.options.append(f"{name}={value}" if name else f"-{letter}{value}")
        return


def _switch_on(action: argparse.Action, name: str, made: Words) -> None:
    if isinstance(action, argparse._StoreTrueAction):  # noqa: SLF001 - there is no other way
        made.switches[action.dest] = True
    else:
        made.options.append(name)


def _switch(action: argparse.Action, value: str, made: Words) -> None:
    if value not in (*_TRUE, *_FALSE):
        names = ", ".join(action.option_strings)
        raise GrammarError(
            f'invalid argument "{value}" for "{names}" flag: '
            f'strconv.ParseBool: parsing "{value}": invalid syntax'
        )
    made.switches[action.dest] = value in _TRUE
