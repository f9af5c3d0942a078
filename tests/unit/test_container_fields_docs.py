"""docs/container-fields.md against the contract: every field of a create has a row that is true."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from palan.api.containers import ContainerCreateBody


ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"\| `([^`]+)` \| (.+) \| `([^`]+)` \| `([^`]+)` \|")


def structs(annotation: Any) -> list[type[msgspec.Struct]]:
    """Return the structs in a type, such as the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [found for part in get_args(annotation) for found in structs(part)]


def fields(message: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field below a message: its path in JSON, and its name in Python."""
    for field in msgspec.structs.fields(message):
        below = structs(field.type)
        for inner in below:
            yield from fields(inner, f"{prefix}{field.encode_name}.")
        if not below:
            yield f"{prefix}{field.encode_name}", field.name


CONTRACT = dict(fields(ContainerCreateBody))
TEXT = (ROOT / "docs/container-fields.md").read_text()
ROWS = [match.groups() for match in ROW.finditer(TEXT)]


@pytest.fixture(scope="module")
def existing_tests():
    files = (ROOT / "tests").rglob("test_*.py")
    return {
        name
        for file in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def test_every_field_has_one_row_and_nothing_else_has():
    assert sorted(name for name, *_ in ROWS) == sorted(CONTRACT)
    assert len(ROWS) == TEXT.count("\n| `")


@pytest.mark.parametrize(("field", "effect", "module", "test"), ROWS, ids=[r[0] for r in ROWS])
def test_a_row_is_true(field, effect, module, test, existing_tests):
    source = ROOT / "src/palan" / module
    assert source.is_file(), module
    assert (
        re.search(rf"\b{CONTRACT[field]}\b", source.read_text())
        or field.rpartition(".")[2] in source.read_text()
    ), f"{module} does not know {CONTRACT[field]}"
    assert test in existing_tests, test
    assert effect


def test_the_walked_fields_are_those_of_the_api():
    assert {"Cmd", "HostConfig.Memory", "HostConfig.Mounts.BindOptions.Propagation"} < set(CONTRACT)
    assert len(CONTRACT) > 150
