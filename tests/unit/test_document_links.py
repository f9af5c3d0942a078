"""Paths and links in documents exist."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


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
def test_files_that_are_named_are_there(document):
    """Paths in backquotes, beginning with a directory of the repository, exist."""
    pattern = r"`((?:src|tests|docs|scripts|contrib|benchmarks|engine|host|server|api)/[\w./*-]+)`"
    for name in re.findall(pattern, document.read_text()):
        found = [*ROOT.glob(name), *(ROOT / "src/palan").glob(name)]
        assert found or name.endswith("RESULTS.md"), name
