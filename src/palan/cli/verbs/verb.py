"""The class of a verb, the parser of its arguments, and the call of it."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from palan.cli.verbs.grammar import GrammarError, read_words
from palan.cli.verbs.template import TemplateError
from palan.client import Client
from palan.client._environment import Environment
from palan.client.errors import APIError, ClientError, ConfigError, ConnectFailed


__all__ = [
    "Arguments",
    "Failed",
    "LocalVerb",
    "Parser",
    "Refused",
    "Verb",
    "add_engine_options",
    "call",
    "key_values",
]

Arguments = argparse.Namespace


class Failed(Exception):
    """Ends the verb with an exit status of its own; the message has already been printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Refused(ValueError):
    """The verb cannot be done as asked; docker's status for this is 1."""


class Parser(argparse.ArgumentParser):
    """A parser of docker's grammar, with docker's messages and exit statuses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        # -h is the host name's option in some verbs.
        options.setdefault("conflict_handler", "resolve")
        super().__init__(*arguments, **options)

    minimum: int | None = None
    """The least number of positional words, where it is not that of the declared arguments."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse words by docker's grammar."""
        actions = {name: one for one in self._actions for name in one.option_strings}
        places = [one for one in self._actions if not one.option_strings]
        rest = places.pop() if places and places[-1].nargs == argparse.REMAINDER else None
        stop_at = None if rest is None else len(places)
        try:
            words = read_words(list(args or ()), actions, stop_at=stop_at)
        except GrammarError as error:
            self.error(str(error))
        asks_for_help = any(one in ("-h", "--help") for one in words.options)
        given = words.positionals
        if not asks_for_help:
            self._check_count(len(given), places, unlimited=rest is not None)
        if rest is not None:
            given, after = given[: len(places)], given[len(places) :]
        after_options = ["--", *given] if given else []
        found, extra = super().parse_known_args([*words.options, *after_options], namespace)
        for name, value in words.switches.items():
            setattr(found, name, value)
        if rest is not None:
            setattr(found, rest.dest, after)
        return found, extra

    def _check_count(self, count: int, places: list[argparse.Action], *, unlimited: bool) -> None:
        """End with docker's message if there are too few or too many positional words."""
        least = self.minimum or sum(1 for one in places if one.nargs in (None, "+"))
        unlimited |= any(one.nargs in ("+", "*") for one in places)
        most = None if unlimited else len(places)
        if count >= least and (most is None or count <= most):
            return
        if most == 0:
            wants = "accepts no arguments"
        else:
            number = least if count < least or most is None else most
            limit = {least: ""} if least == most else {least: "at least ", most: "at most "}
            some = "argument" if number == 1 else "arguments"
            wants = f"requires {limit[number]}{number} {some}"
        self.exit(1, f"palan: '{self.prog}' {wants}\n\n{self._usage_and_hint()}")

    def _usage_and_hint(self) -> str:
        usage = self.format_usage().replace("usage: ", "Usage:  ")
        return f"{usage}\nRun '{self.prog} --help' for more information\n"

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 125, docker's status for words that cannot be read."""
        self.exit(125, f"{message}\n\n{self._usage_and_hint()}")


@dataclass(frozen=True)
class Verb:
    """A verb that needs an engine.

    Attributes:
        summary: its help in one line.
        declare: adds its arguments to a parser.
        act: does the work and returns the exit status; None is 0.
    """

    summary: str
    declare: Callable[[Parser], None]
    act: Callable[[Client, Arguments], int | None]


@dataclass(frozen=True)
class LocalVerb:
    """A verb that needs no engine: ``act`` receives the environment instead of a client."""

    summary: str
    declare: Callable[[Parser], None]
    act: Callable[[Environment, Arguments], int | None]


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that select the engine; they stand before the verb."""
    parser.add_argument("-H", "--host", metavar="ADDRESS", help="the engine's address")
    parser.add_argument("-c", "--context", metavar="NAME", help="the docker context to use")
    parser.add_argument("--api-version", metavar="VERSION", help="the API version to use")


def call(  # noqa: PLR0911 - a table of errors
    verb: Verb | LocalVerb, name: str, arguments: Sequence[str], engine: Arguments
) -> int:
    """Run a verb.

    Args:
        verb: the verb.
        name: the words that it was called by.
        arguments: the words after its name.
        engine: the parsed options of :func:`add_engine_options`.

    Returns:
        The exit status; 125 where the verb or the engine failed, not the process that it ran.
    """
    parser = Parser(prog=f"palan {name}", description=verb.summary)
    verb.declare(parser)
    given = parser.parse_args(list(arguments))
    try:
        if isinstance(verb, LocalVerb):
            return verb.act(Environment(os.environ), given) or 0
        with Client(
            engine.host, context=engine.context, version=engine.api_version, timeout=None
        ) as client:
            return verb.act(client, given) or 0
    except Failed as failed:
        return failed.status
    except ClientError as error:
        return _report(name, _text_of(error, engine))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 0
        where = f"open {error.filename}: " if error.filename else ""
        return _report(name, f"{where}{(error.strerror or str(error)).lower()}")
    except TemplateError as error:
        print(f"template parsing error: {error}", file=sys.stderr)
        return error.status
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        _report(name, str(error))
        return 125
    except KeyboardInterrupt:
        return 130


def _report(name: str, text: str) -> int:
    """Print an error as docker does, and return the status."""
    if name.removeprefix("container ") not in ("run", "create"):
        print(text, file=sys.stderr)
        return 1
    if name.endswith("create") and not text.startswith("open "):
        print(text, file=sys.stderr)
        return 1
    print(f"palan: {text}\n\nRun 'palan {name} --help' for more information", file=sys.stderr)
    return 125


def _text_of(error: ClientError, engine: Arguments) -> str:
    if isinstance(error, APIError):
        # An error that the engine answered is marked, unlike failures to reach it.
        return f"Error response from daemon: {error.message}"
    if isinstance(error, ConnectFailed):
        with contextlib.suppress(ConfigError):
            address = Environment(os.environ).address(engine.host, engine.context, None)
            if address.scheme != "ssh":
                return (
                    f"Cannot connect to the Docker daemon at {address}. "
                    f"Is the docker daemon running? ({error.message})"
                )
    return error.message


def key_values(given: Sequence[str]) -> dict[str, str]:
    """Return ``NAME=value`` texts as a mapping; a name alone has an empty value."""
    return {name: value for name, _, value in (one.partition("=") for one in given)}
