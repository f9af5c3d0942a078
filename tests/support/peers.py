"""Other engines, where they are installed: dockerd in namespaces of its own."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))


def peer(name: str) -> Iterator[Any]:
    """Yield an engine of ``benchmarks/engines.py`` with the image; skip if it is not installed."""
    kind = getattr(import_module("engines"), name)
    if kind.missing():
        pytest.skip(f"{name} is not installed")
    base = Path(tempfile.mkdtemp(prefix="palan-peer-", dir="/var/tmp"))
    run = Path(tempfile.mkdtemp(prefix="palan-peer-", dir="/run"))
    engine = kind(base, run)
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        engine.close()
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)
