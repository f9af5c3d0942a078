"""The flags of ``palan serve``, from the declarations of :mod:`palan.engine.config`."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from palan.engine.config import DEFAULT_CONFIG_FILE, EngineConfig
from palan.engine.config_load import Directive, directives


__all__ = ["ServeFlags", "parse_flags"]


@dataclass(frozen=True, slots=True)
class ServeFlags:
    """The flags given on the command line.

    Attributes:
        given: values as text, in order, by the key of their directive.
        config_file: the configuration file; None reads the default file if it exists.
        validate: only check the configuration.
    """

    given: Mapping[str, Sequence[str]]
    config_file: Path | None
    validate: bool


def parse_flags(arguments: Sequence[str]) -> ServeFlags:
    """Parse the flags of ``palan serve``; exit with status 2 if a flag is unknown or invalid."""
    parser = argparse.ArgumentParser(
        prog="palan serve",
        usage="palan serve [flags]",
        description="Run the engine until a signal stops it. Containers keep running without it.",
        epilog="Flags that take several values may be given several times. "
        "The configuration file takes the same directives.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        metavar="FILE",
        help=f"configuration file in JSON (default: {DEFAULT_CONFIG_FILE}, if it exists)",
    )
    parser.add_argument("--validate", action="store_true", help="check the configuration and exit")
    for directive in directives().values():
        if directive.has_flag:
            _add_flag(parser, directive)
    values = vars(parser.parse_args(arguments))
    return ServeFlags(
        given={key: values[key] for key in directives() if values.get(key) is not None},
        config_file=values["config_file"],
        validate=values["validate"],
    )


def _add_flag(parser: argparse.ArgumentParser, directive: Directive) -> None:
    option = directive.option
    names = [f"-{option.short}"] if option.short else []
    names.append(f"--{directive.flag}")
    help_text = ". ".join(_help_sentences(directive)).replace("%", "%%")
    if directive.is_bool:
        # As in Go, a value needs an equals sign: --debug, --debug=false.
        parser.add_argument(
            *names, dest=directive.key, action=_Boolean, nargs="?", metavar="BOOL", help=help_text
        )
    else:
        parser.add_argument(
            *names,
            dest=directive.key,
            action="append",
            metavar=option.metavar or "VALUE",
            help=help_text,
        )


class _Boolean(argparse.Action):
    """The argparse action of a boolean flag: ``--flag`` is true, ``--flag=value`` that value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002 - argparse's signature
    ) -> None:
        setattr(namespace, self.dest, ["true" if values is None else str(values)])


def _help_sentences(directive: Directive) -> Iterator[str]:
    yield directive.option.help
    choices = [choice for choice in get_args(directive.type) if isinstance(choice, str) and choice]
    if choices:
        yield f"One of {', '.join(choices)}"
    default = getattr(EngineConfig(), directive.field)
    if default not in (None, "", (), {}, False):
        shown = " ".join(default) if isinstance(default, tuple) else default
        yield f"Default: {str(shown).lower() if shown is True else shown}"
    if directive.option.inert:
        yield f"No effect: {directive.option.inert}"
    if directive.option.refused:
        yield f"Not available: {directive.option.refused}"
