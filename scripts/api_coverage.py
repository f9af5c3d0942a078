"""Writes ``docs/api-coverage.md``: every endpoint of the API, and whether it is built.

    python scripts/api_coverage.py            # write the document
    python scripts/api_coverage.py --check    # exit with 1 if the document is outdated

The endpoints come from the declarations in ``palan.api``, their state from
``engine/pending.py``. A test fails while the document is outdated.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from palan.api import Endpoint
from palan.api.registry import endpoints
from palan.api.version import MAX_VERSION, MIN_VERSION
from palan.engine.pending import PENDING


DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "api-coverage.md"

INTRODUCTION = f"""\
# Endpoints

<!-- Written by scripts/api_coverage.py; do not edit. -->

These are all endpoints of the Docker Engine API {MIN_VERSION} to {MAX_VERSION}, as declared in
`src/palan/api`. Pending endpoints, which `src/palan/engine/pending.py` lists, answer 501; those
that need a swarm answer 503, as dockerd does outside of a swarm. `src/palan/api/changes` has the
differences of older versions. The engine serves the contract as an OpenAPI document at
`/openapi.json`."""


def document() -> str:
    """Return the whole document."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    declared = sorted(endpoints(), key=lambda endpoint: endpoint.group)
    yield INTRODUCTION
    yield ""
    yield "| Group | Built | Pending |"
    yield "| --- | ---: | ---: |"
    groups = {name: list(found) for name, found in groupby(declared, lambda e: e.group)}
    for name, found in groups.items():
        pending = sum(map(_is_pending, found))
        yield f"| [{name}](#{name}) | {len(found) - pending} | {pending or ''} |"
    pending = sum(map(_is_pending, declared))
    yield f"| **all** | **{len(declared) - pending}** | **{pending}** |"
    for name, found in groups.items():
        yield from ("", f"## {name}", "", "| Endpoint | | Since | Summary |")
        yield "| --- | --- | --- | --- |"
        yield from map(_row, found)
    yield ""


def _is_pending(endpoint: Endpoint) -> bool:
    return endpoint.name in PENDING


def _row(endpoint: Endpoint) -> str:
    since = str(endpoint.since) if endpoint.since > MIN_VERSION else ""
    state = "pending" if _is_pending(endpoint) else "built"
    summary = endpoint.summary.replace("``", "`")
    return f"| `{endpoint}` | {state} | {since} | {summary} |"


def main() -> int:
    """Write or check the document and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only check whether it is up to date")
    if not parser.parse_args().check:
        DOCUMENT.write_text(document())
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != document():
        sys.stderr.write(f"{DOCUMENT} is behind: run python scripts/api_coverage.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
