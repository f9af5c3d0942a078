"""Write the table of directives into ``docs/configuration.md``, from their declarations.

    python scripts/configuration_table.py            # write the document
    python scripts/configuration_table.py --check    # exit with 1 if it is out of date

Run it after changing a directive; a test fails while the document is out of date.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from palan.engine.config import AddressPool, Runtime, Strings, Ulimit
from palan.engine.config_load import Directive, directives


DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
BEGIN = "<!-- directives: begin, written by scripts/configuration_table.py -->"
END = "<!-- directives: end -->"


def rendered(document: str) -> str:
    """Return the document with the present table."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join((before + BEGIN, *_table(), END + after))


def _table() -> Iterator[str]:
    yield "| Key | Flag | Type | Default | Effect |"
    yield "| --- | --- | --- | --- | --- |"
    for directive in directives().values():
        yield f"| {' | '.join(_row(directive))} |"


def _row(directive: Directive) -> Iterator[str]:
    option = directive.option
    yield f"`{directive.key}`"
    flags = [f"`-{option.short}`"] if option.short else []
    flags += [f"`--{directive.flag}`"] if directive.has_flag else []
    yield ", ".join(flags)
    yield _type(directive.type)
    yield _default(directive.default)
    text = option.help[0].upper() + option.help[1:]
    if option.refused:
        text = f"**Refused**: {option.refused}. {text}"
    elif option.inert:
        text = f"**No effect**: {option.inert}. {text}"
    elif option.reload:
        text += " ⟳"
    yield text


def _type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind) if choice)
    if get_origin(kind) is UnionType:
        return _type(get_args(kind)[0])
    if get_origin(kind) is dict:
        value = get_args(kind)[1]
        return {
            str: "strings by name",
            bool: "booleans by name",
            Ulimit: "limits by name",
            Runtime: "runtimes by name",
        }.get(value, "object")
    if kind == Strings:
        return "strings"
    if kind == tuple[AddressPool, ...]:
        return "pools"
    return {bool: "boolean", int: "number", str: "string"}[kind]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, tuple):
        return " ".join(f"`{item}`" for item in value)
    return f"`{value}`"


def main() -> int:
    """Write or check the document and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only check whether it is up to date")
    check = parser.parse_args().check
    there = DOCUMENT.read_text()
    wanted = rendered(there)
    if check and there != wanted:
        sys.stderr.write(f"{DOCUMENT} is out of date: run python scripts/configuration_table.py\n")
        return 1
    if not check:
        DOCUMENT.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
