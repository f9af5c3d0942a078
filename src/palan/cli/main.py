"""The command line: its subcommands and how they are found.

A subcommand is imported when it is called, so that none pays for the others.
"""

import argparse
import sys
from collections.abc import Sequence

from palan import __version__


__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: those after the program's name; None takes them from ``sys.argv``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["serve"]:
        from palan.cli.serve import serve  # noqa: PLC0415 - only when asked for

        return serve(given[1:])
    if given[:1] == ["system"]:
        from palan.cli.system import system  # noqa: PLC0415 - only when asked for

        return system(given[1:])
    if given[:1] == ["version"]:
        from palan.cli.version import version  # noqa: PLC0415 - only when asked for

        return version(given[1:])
    parser = argparse.ArgumentParser(
        prog="palan",
        description="The Docker Engine API, whole, in Python.",
        epilog="`palan COMMAND --help` tells more about a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"palan {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("serve", help="run the engine")
    commands.add_parser("system", help="look after an engine's data: reset")
    commands.add_parser("version", help="show the versions of Palan, of its API and of Python")
    parser.parse_args(given)
    parser.print_help(sys.stderr)
    return 2
