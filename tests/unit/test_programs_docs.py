"""``docs/dependencies.md`` lists the programs that the code runs, and no others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import palan


SOURCES = Path(palan.__file__).parent
DOCUMENT = SOURCES.parents[1] / "docs" / "dependencies.md"

STARTERS = {"run", "spawn", "Popen", "create_subprocess_exec", "which", "find_programs", "find"}
"""Functions that take a program, a command line or names of programs as first argument."""

COMPUTED = {
    # Names that the code puts together or takes from a table, as they stand in the source.
    "iptables": "host/iptables.py",
    "ip6tables": "host/iptables.py",
    "docker-credential-": "client/_credentials.py",
    "ssh": "client/_ssh.py",
}

NOT_PROGRAMS = {
    "true",  # the contents of the container that tries a runtime
}


def constants(tree: ast.Module) -> dict[str, list[str]]:
    """Module-level tuples, lists and dictionaries of strings, by name."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = texts(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = texts(node.value)
    return found


def texts(node: ast.expr | None) -> list[str]:
    """The strings of a literal: its own, its items or its keys."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [text for item in node.elts for text in texts(item)]
    if isinstance(node, ast.Dict):
        return [text for item in node.keys for text in texts(item)]
    return []


def programs(path: Path) -> Iterator[str]:
    """The programs that a module names when it starts or looks for them."""
    tree = ast.parse(path.read_text())
    known = constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        name = function.id if isinstance(function, ast.Name) else name
        first = node.args[0]
        if name not in STARTERS:
            continue
        if isinstance(first, ast.Name):
            yield from known.get(first.id, [])
        elif name in {"find_programs", "find"}:
            for item in first.elts if isinstance(first, ast.List | ast.Tuple) else []:
                value = item.value if isinstance(item, ast.Starred) else item
                yield from known.get(value.id, []) if isinstance(value, ast.Name) else texts(value)
        elif name == "which":
            yield from texts(first)
        elif isinstance(first, ast.List | ast.Tuple) and first.elts:
            yield from texts(first.elts[0])


def run_by_code() -> set[str]:
    found = set(COMPUTED)
    for path in SOURCES.rglob("*.py"):
        found |= set(programs(path))
    return {name for name in found if re.fullmatch(r"[a-z][a-z0-9_-]*", name)} - NOT_PROGRAMS


def documented() -> set[str]:
    """The programs in the first column of the section "Programs"."""
    _, _, rest = DOCUMENT.read_text().partition("## Programs")
    table = rest.partition("\n## ")[0]
    found: set[str] = set()
    for row in re.findall(r"^\| (`[^|]+)\|", table, re.MULTILINE):
        found |= set(re.findall(r"`([^`]+)`", row))
    return {name.removesuffix("NAME") for name in found if ".so" not in name}


def test_every_program_is_listed():
    assert run_by_code() == documented()


def test_computed_names_stand_in_the_source():
    for name, module in COMPUTED.items():
        assert f'"{name}' in (SOURCES / module).read_text()
