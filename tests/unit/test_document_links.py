"""Links, paths and names in the documents lead to something that exists."""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/palan"
DOCUMENTS = sorted(
    path for top in (".", "docs", "benchmarks", "tests/data") for path in ROOT.glob(f"{top}/*.md")
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:[\w.*-]+/)+[\w.*-]*|[\w-]+\.py")
NAME = re.compile(r"(?:palan|tests|scripts)(?:\.\w+)+")
FILE_SUFFIXES = ("db", "sock", "socket", "service", "pid", "json", "md")


def quoted(document: Path) -> Iterator[str]:
    """The words in backquotes; placeholders such as ``<group>`` become ``*``."""
    for text in QUOTED.findall(FENCE.sub("", document.read_text())):
        yield from re.sub(r"<\w+>", "*", text).split()


@cache
def top_names() -> set[str]:
    """Names of directories in the repository and in the package."""
    return {path.name for top in (ROOT, PACKAGE) for path in top.iterdir() if path.is_dir()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (document.parent / target).exists(), target
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document):
    """Paths that begin with a directory of the repository or the package, and modules."""
    missing = []
    for name in quoted(document):
        if not PATH.fullmatch(name):
            continue
        if "/" not in name:
            found = any(any((ROOT / top).rglob(name)) for top in ("src", "tests", "scripts"))
            found = found or any(ROOT.glob(f"benchmarks/{name}"))
        elif name.partition("/")[0] in top_names():
            found = any(any(top.glob(name.rstrip("/"))) for top in (ROOT, PACKAGE))
        else:
            continue
        if not found:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_exist(document):
    """Dotted names of modules and their members."""
    missing = []
    for name in quoted(document):
        if NAME.fullmatch(name) and not name.endswith(tuple(f".{it}" for it in FILE_SUFFIXES)):
            try:
                resolve(name)
            except (ImportError, AttributeError):
                missing.append(name)
    assert missing == []


def resolve(name: str) -> object:
    """Import as much of a dotted name as is modules, and look up the rest."""
    module = name
    rest: list[str] = []
    while True:
        try:
            found: object = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            if not module:
                raise
            rest.insert(0, last)
    for attribute in rest:
        found = getattr(found, attribute)
    return found
