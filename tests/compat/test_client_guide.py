"""The examples of docs/client.md work, and are correctly typed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.engine import TestEngine
from tests.support.peers import peer


pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/client.md").read_text()
BLOCKS = re.findall(r"(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_examples():
    assert len(BLOCKS) == TEXT.count("```python") > 10
    assert [needs for needs, _ in BLOCKS if needs] == ["registry", "build"]


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Any]:
    yield from peer("Dockerd")


def run(program: str, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=False, capture_output=True, text=True, timeout=120,
        env={**os.environ, "DOCKER_HOST": url, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, program + done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout


@pytest.mark.parametrize("number", [n for n, (needs, _) in enumerate(BLOCKS) if not needs])
def test_examples_with_palan(engine: TestEngine, number: int):
    run(BLOCKS[number][1], engine.url)
    assert engine.api.get("/containers/json?all=1").json == []


@pytest.mark.parametrize(
    "number", [n for n, (needs, _) in enumerate(BLOCKS) if needs != "registry"]
)
def test_examples_with_dockerd(dockerd: Any, number: int):
    run(BLOCKS[number][1], dockerd.url)
    assert dockerd.client.json("GET", "/containers/json?all=1") == []


def test_examples_have_types(tmp_path: Path):
    for number, (_, block) in enumerate(BLOCKS):
        (tmp_path / f"example_{number}.py").write_text(block)
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--config-file", "",
            "--cache-dir", ROOT / ".mypy_cache" / "user", tmp_path,
        ],
        check=False, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
