"""``palan version``."""

import argparse
import platform
from collections.abc import Sequence

from palan import __version__
from palan.api.version import MAX_VERSION, MIN_VERSION


__all__ = ["version"]


def version(arguments: Sequence[str]) -> int:
    """Print which Palan this is."""
    parser = argparse.ArgumentParser(
        prog="palan version", description="Show the versions of Palan, of its API and of Python."
    )
    parser.parse_args(arguments)
    for name, value in (
        ("Palan", __version__),
        ("API", f"{MIN_VERSION} to {MAX_VERSION}"),
        ("Python", platform.python_version()),
        ("Kernel", platform.release()),
    ):
        print(f"{name + ':':<8}{value}")  # noqa: T201 - the command's output
    return 0
