"""The prose of the source follows the word rules of docs/contributing.md, where a test can tell."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import palan


SOURCES = Path(palan.__file__).parent

HEADLESS = re.compile(r"(What|Which|Who|Whose|Whom|How|Where|When|Why)\b")
"""Beginnings of a clause without a main clause."""

ARTICLE = re.compile(r"(The|A|An)\b")

AVOIDED = {
    r"\b(is|are|was|were) none\b(?! of)": "say 'not found', 'absent', 'no such ...' or 'None'",
    r"\b(take|takes|taking|taken|took)( \w+)? away\b": "say 'remove', 'release' or 'stop'",
    r"\b(let|lets|letting) go\b": "say 'release' or 'close'",
    r"\b(put|puts|putting) down\b": "say 'stop', 'undo' or 'remove'",
    r"\b(go|goes|going|went) on\b": "say 'continue' or 'run'",
    r"\b(has|have) (its|their) say\b": "say 'decide'",
    r"\bbehind \w+'s back\b": "say 'without asking' or 'without informing'",
    r"\bcables?\b": "say 'veth pair' or 'interface'",
}


class Prose(NamedTuple):
    """A docstring or a comment."""

    path: Path
    line: int
    text: str
    kind: str

    def __str__(self) -> str:
        first = self.text.strip().partition("\n")[0]
        return f"{self.path.relative_to(SOURCES)}:{self.line}: {first}"


@cache
def prose() -> tuple[Prose, ...]:
    found: list[Prose] = []
    for path in sorted(SOURCES.rglob("*.py")):
        source = path.read_text()
        found += docstrings(path, source)
        found += comments(path, source)
    return tuple(found)


def docstrings(path: Path, source: str) -> Iterator[Prose]:
    """Docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for number, statement in enumerate(body if isinstance(body, list) else []):
            if not isinstance(statement, ast.Expr):
                continue
            value = statement.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                kind = "function" if number == 0 and is_function(node) else "object"
                yield Prose(path, statement.lineno, value.value, kind)


def is_function(node: ast.AST) -> bool:
    """Whether a node is a function that is called as such, and not a property."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def comments(path: Path, source: str) -> Iterator[Prose]:
    if not re.search("|".join(AVOIDED), re.sub(r"[\s#]+", " ", source)):
        return  # reading tokens takes long
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(path, token.start[0], token.string, "comment")


def test_docstrings_begin_with_a_sentence_or_a_noun():
    wrong = [
        str(one) for one in prose() if one.kind != "comment" and HEADLESS.match(one.text.strip())
    ]
    assert wrong == []


def test_docstrings_of_functions_begin_with_a_verb():
    wrong = [
        str(one) for one in prose() if one.kind == "function" and ARTICLE.match(one.text.strip())
    ]
    assert wrong == []


@pytest.mark.parametrize("pattern", AVOIDED)
def test_riddles_are_avoided(pattern):
    found = [str(one) for one in prose() if re.search(pattern, " ".join(one.text.split()))]
    assert found == [], AVOIDED[pattern]
