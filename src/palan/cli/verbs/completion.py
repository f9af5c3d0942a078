"""``palan completion bash|zsh|fish``: a script for the shell, and the words that it asks for.

The script calls ``palan __complete WORDS``, so that the words come from the parsers themselves:
verbs, options, and names of containers, images, networks and volumes.
"""

import argparse
import contextlib
from collections.abc import Sequence
from typing import Final

from palan.cli.verbs.registry import GROUPS, VERBS, find
from palan.cli.verbs.verb import Parser


__all__ = ["complete", "completion"]

_SCRIPTS: Final = {
    "bash": """\
_palan() {
    local IFS=$'\\n'
    COMPREPLY=($(palan __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
complete -F _palan palan
""",
    "zsh": """\
#compdef palan
_palan() {
    local -a found
    found=("${(@f)$(palan __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _palan palan
""",
    "fish": """\
function __palan_complete
    palan __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c palan -a '(__palan_complete)'
""",
}

_COMMANDS_BESIDE_VERBS: Final = ("serve", "completion")


def completion(arguments: Sequence[str]) -> int:
    """Print the script for a shell."""
    parser = argparse.ArgumentParser(
        prog="palan completion",
        description="Print a script that completes the words of palan's command line: "
        "source <(palan completion bash), or save it where your shell looks for completions.",
    )
    parser.add_argument("shell", choices=sorted(_SCRIPTS))
    print(_SCRIPTS[parser.parse_args(arguments).shell], end="")
    return 0


def complete(words: Sequence[str]) -> int:
    """Print the words that the last, unfinished word may be completed to."""
    *before, last = words or [""]
    with contextlib.suppress(Exception):
        # A shell that completes must not print a traceback, whatever goes wrong.
        for word in sorted(set(_candidates(before, last))):
            if word.startswith(last):
                print(word)
    return 0


def _candidates(before: list[str], last: str) -> list[str]:
    words = _without_engine_options(before)
    if not words:
        return [*VERBS, *GROUPS, *_COMMANDS_BESIDE_VERBS, "--host", "--context", "--api-version"]
    name = words[0]
    if name in GROUPS:
        if len(words) == 1:
            others = ("reset", "dial-stdio") if name == "system" else ()
            return [*GROUPS[name], *others]
        name = GROUPS[name].get(words[1], "")
        words = words[1:]
    if name == "completion":
        return list(_SCRIPTS)
    parser = Parser(prog="palan", add_help=False)
    find(name).declare(parser)
    if last.startswith("-"):
        return [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - there is no other way
    return _names(parser, words[1:])


def _without_engine_options(before: list[str]) -> list[str]:
    words = list(before)
    while words and words[0].startswith("-"):
        takes = words[0] in ("-H", "--host", "-c", "--context", "--api-version")
        words = words[2 if takes else 1 :]
    return words


def _names(parser: Parser, words: list[str]) -> list[str]:
    """Return names of objects of the kind that the next positional argument stands for."""
    takes = {
        option: action.nargs != 0
        for action in parser._actions  # noqa: SLF001 - there is no other way
        for option in action.option_strings
    }
    count, skip = 0, False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = takes.get(word, False)
        else:
            count += 1
    if skip:
        return []
    places = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001 - there is no other way
    if not places:
        return []
    place = places[min(count, len(places) - 1)]
    if place.nargs == "..." or (count >= len(places) and place.nargs not in ("+", "*")):
        return []
    return _existing_objects(str(place.metavar))


def _existing_objects(metavar: str) -> list[str]:
    from palan.client import Client

    with Client(timeout=2, connect_timeout=1) as client:
        found: list[str] = []
        if metavar.startswith(("CONTAINER", "OBJECT", "[CONTAINER")):
            found += [
                name.removeprefix("/") + (":" if metavar.startswith("[") else "")
                for one in client.containers.list(all=True)
                for name in one.names
            ]
        if metavar.startswith(("IMAGE", "OBJECT", "SOURCE", "NAME", "REPOSITORY")):
            found += [name for one in client.images.list() for name in one.repo_tags or ()]
        if metavar.startswith(("NETWORK", "OBJECT")):
            found += [one.name for one in client.networks.list()]
        if metavar.startswith(("VOLUME", "OBJECT")):
            found += [one.name for one in client.volumes.list().volumes or ()]
    if metavar == "METHOD":
        found = ["DELETE", "GET", "HEAD", "POST", "PUT"]
    return found
