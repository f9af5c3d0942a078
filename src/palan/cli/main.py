"""The command line: its subcommands and how they are found.

A subcommand is imported when it is called, so that no other one pays for its import.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from palan import __version__


__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: the words after the program's name; None takes them from ``sys.argv``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["serve"]:
        from palan.cli.serve import serve  # noqa: PLC0415 - only when asked for

        return serve(given[1:])
    if given[:1] == ["__complete"]:
        from palan.cli.verbs.completion import complete  # noqa: PLC0415 - only when asked for

        return complete(given[1:])
    if given[:1] == ["completion"]:
        from palan.cli.verbs.completion import completion  # noqa: PLC0415 - only when asked for

        return completion(given[1:])
    return _run_with_engine_options(given)


def _run_with_engine_options(given: list[str]) -> int:
    """Run a command that options such as ``--host`` may precede."""
    before, rest = _split_at_command(given)
    if rest[:2] == ["system", "dial-stdio"]:
        from palan.cli.verbs.dial import dial_stdio  # noqa: PLC0415 - only when asked for

        return dial_stdio(_parser().parse_args(before))
    if rest == ["system"]:
        from palan.cli.verbs.registry import GROUPS  # noqa: PLC0415 - only when asked for

        return _show_group("system", [*GROUPS["system"], "dial-stdio", "reset"], [])
    if rest[:1] == ["system"] and rest[1:2] in (["reset"], ["-h"], ["--help"]):
        from palan.cli.system import system  # noqa: PLC0415 - only when asked for

        return system(rest[1:])
    if not rest:
        parser = _parser()
        parser.parse_args(before)
        parser.print_help(sys.stderr)
        return 2
    return _run_verb(_parser().parse_args(before), rest)


def _run_verb(engine: argparse.Namespace, rest: list[str]) -> int:
    from palan.cli.verbs.registry import GROUPS, VERBS, find  # noqa: PLC0415 - only when asked for
    from palan.cli.verbs.verb import call  # noqa: PLC0415 - only when asked for

    name, *words = rest
    called = name
    if name in GROUPS:
        if not words or words[0] not in GROUPS[name]:
            return _show_group(name, list(GROUPS[name]), words)
        called = f"{name} {words[0]}"
        name, words = GROUPS[name][words[0]], words[1:]
    elif name not in VERBS:
        print(  # noqa: T201 - the command's output
            f"palan: unknown command: palan {name}\n\nRun 'palan --help' for more information",
            file=sys.stderr,
        )
        return 1
    if engine.host is None and engine.context is None:
        engine.host = _own_engine_address()
    return call(find(name), called, words, engine)


def _show_group(name: str, verbs: list[str], words: list[str]) -> int:
    """Print the commands of a group; return 1 if an unknown command followed its name."""
    usage = f"Usage: palan {name} COMMAND\n\nCommands: {', '.join(verbs)}"
    if not words or words[0] in ("-h", "--help"):
        print(usage)  # noqa: T201 - the command's output
        return 0
    print(f"palan: unknown command: palan {name} {words[0]}\n\n{usage}", file=sys.stderr)  # noqa: T201 - the command's output
    return 1


def _own_engine_address() -> str | None:
    """Return the address of Palan's own engine, or None.

    It is used where the environment names no engine and dockerd's socket does not exist.
    """
    import os  # noqa: PLC0415 - only when asked for

    from palan.client._address import DEFAULT_HOST  # noqa: PLC0415 - only when asked for
    from palan.client._environment import Environment  # noqa: PLC0415 - only when asked for
    from palan.client.errors import ConfigError  # noqa: PLC0415 - only when asked for

    try:
        address = str(Environment(os.environ).address(None, None, None))
    except ConfigError:
        return None
    socket = Path("/run/palan.sock")
    if address != DEFAULT_HOST or Path(DEFAULT_HOST.removeprefix("unix://")).exists():
        return None
    return f"unix://{socket}" if socket.exists() else None


def _split_at_command(given: list[str]) -> tuple[list[str], list[str]]:
    """Split the words into the options before the command, and the command with the rest."""
    place = 0
    while place < len(given) and given[place].startswith("-"):
        takes = given[place] in ("-H", "--host", "-c", "--context", "--api-version")
        place += 2 if takes else 1
    return given[:place], given[place:]


def _parser() -> argparse.ArgumentParser:
    from palan.cli.verbs.registry import GROUPS, VERBS  # noqa: PLC0415 - only when asked for
    from palan.cli.verbs.verb import Parser, add_engine_options  # noqa: PLC0415 - only when asked for

    parser = Parser(
        prog="palan",
        usage="palan [-H ADDRESS] [-c CONTEXT] COMMAND ...",
        description="An engine and a client for the whole Docker Engine API.",
        epilog=_list_of_commands(VERBS, GROUPS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"palan {__version__}")
    add_engine_options(parser)
    return parser


def _list_of_commands(
    verbs: dict[str, tuple[str, str, str]], groups: dict[str, dict[str, str]]
) -> str:
    own = {
        "serve": "run the engine",
        "system": "reset (remove an engine's data) or dial-stdio (proxy stdio to the engine)",
        "completion": "print a script that completes commands in a shell",
    }
    summaries = {name: summary for name, (_, _, summary) in verbs.items()}
    grouped = {name: ", ".join(words) for name, words in groups.items()}
    parts = []
    for title, lines in (("the engine", own), ("commands", summaries), ("groups", grouped)):
        parts.append(f"{title}:")
        parts += [f"  {name:<12}{summary}" for name, summary in lines.items()]
        parts.append("")
    return "\n".join([*parts, "Run 'palan COMMAND --help' for more information on a command."])
