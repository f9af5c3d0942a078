"""The class of a verb, the parser of its arguments, and the call of it."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from palan.cli.verbs.template import TemplateError
from palan.client import Client
from palan.client._environment import Environment
from palan.client.errors import APIError, ClientError


__all__ = [
    "Arguments",
    "Failed",
    "LocalVerb",
    "Parser",
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


class Parser(argparse.ArgumentParser):
    """A parser of docker's grammar: ``--flag=false`` is allowed, and usage errors exit as there."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        # -h is the host name's option in some verbs.
        options.setdefault("conflict_handler", "resolve")
        super().__init__(*arguments, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, among them ``--flag=true`` and ``--flag=false``."""
        return super().parse_known_args(self._without_values(list(args or ())), namespace)

    def _without_values(self, given: list[str]) -> list[str]:
        flags = {
            name
            for action in self._actions
            if isinstance(action, argparse._StoreTrueAction)  # noqa: SLF001 - there is no other way
            for name in action.option_strings
        }
        made: list[str] = []
        for place, word in enumerate(given):
            if word == "--":
                return made + given[place:]
            name, equals, value = word.partition("=")
            if not equals or name not in flags:
                made.append(word)
            elif value.lower() in ("1", "t", "true"):
                made.append(name)
        return made

    def error(self, message: str) -> NoReturn:
        """Print the error and exit: with 1 if only the number of arguments is wrong, else 125."""
        unknown = re.fullmatch(r"unrecognized arguments: ([^-].*)", message)
        if unknown:
            message = f"unexpected arguments: {unknown[1]}"
        status = 1 if unknown or message.startswith("the following arguments are") else 125
        self.exit(status, f"{self.prog}: {message}\nSee '{self.prog} --help'.\n")


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
        # An error that the engine answered is marked, unlike failures to reach it.
        answered = isinstance(error, APIError)
        prefix = "Error response from daemon" if answered else f"palan {name}"
        print(f"{prefix}: {error.message}", file=sys.stderr)
        return 125 if name.removeprefix("container ") == "run" else 1
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 0
        where = f"{error.filename}: " if error.filename else ""
        print(f"palan {name}: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except TemplateError as error:
        print(f"template parsing error: {error}", file=sys.stderr)
        return error.status
    except ValueError as error:
        print(f"palan {name}: {error}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 130


def key_values(given: Sequence[str]) -> dict[str, str]:
    """Return ``NAME=value`` texts as a mapping; a name alone has an empty value."""
    return {name: value for name, _, value in (one.partition("=") for one in given)}
