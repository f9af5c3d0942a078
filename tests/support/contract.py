"""Docker's side of the contract: its API description, and recorded answers of dockerd.

The files are in ``tests/data``; its README describes them.
"""

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


DATA = Path(__file__).parents[1] / "data"


@cache
def description() -> dict[str, Any]:
    """Docker's description of API 1.55, without its prose. Don't change it."""
    with gzip.open(DATA / "docker-engine-v1.55.json.gz") as text:
        loaded: dict[str, Any] = json.load(text)
    return loaded


def recorded_steps() -> Iterator[dict[str, Any]]:
    """The steps of the recording of dockerd 29.7.2 that have a response."""
    with gzip.open(DATA / "dockerd-29.7.2.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            step = json.loads(line)
            if "response" in step:
                yield step


def listed_endpoints() -> list[tuple[str, str]]:
    """Method and path of the endpoints of 1.30 and later, each path parameter as ``{}``."""
    found = []
    for line in (DATA / "endpoints.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            _, method, path, *_ = line.replace("(id or name)", "{}").split()
            found.append((method, re.sub(r"\([^)]*\)", "{}", path.partition("?")[0])))
    return found
