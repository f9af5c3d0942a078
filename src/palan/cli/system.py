"""``palan system reset``: remove an engine with all it has."""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from palan.cli.exclusive import InUseError, hold
from palan.engine.config_load import ConfigError, load_config
from palan.engine.paths import Paths


__all__ = ["system"]

_STOPPING: Final = 2.0
"""Seconds in which an engine that has nothing to finish is gone."""


def system(arguments: Sequence[str]) -> int:
    """Run ``palan system ...`` and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="palan system", description="Look after an engine's data.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    reset = commands.add_parser(
        "reset",
        help="remove an engine with all it has",
        description="Remove an engine that does not run: its containers (running ones are "
        "killed), images, volumes, network interfaces and firewall rules.",
        allow_abbrev=False,
    )
    reset.add_argument("--data-root", "-g", metavar="DIR", help="the engine's data root")
    reset.add_argument("--exec-root", metavar="DIR", help="the engine's exec root")
    reset.add_argument(
        "--config-file", type=Path, metavar="FILE", help="the engine's configuration file"
    )
    reset.add_argument("--yes", "-y", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    flags = {
        key: [value]
        for key, value in (("data-root", given.data_root), ("exec-root", given.exec_root))
        if value is not None
    }
    try:
        return _reset(flags, given.config_file, ask=not given.yes)
    except (ConfigError, InUseError, OSError) as error:
        print(f"palan system reset: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return 1


def _reset(flags: dict[str, list[str]], config_file: Path | None, *, ask: bool) -> int:
    from palan.engine.reset import is_engine, reset  # noqa: PLC0415 - nobody else needs it

    config = load_config(flags, config_file).config
    paths = config.paths
    if not is_engine(config):
        print(f"There is no engine at {paths.data_root}.")  # noqa: T201 - the command's output
        return 0
    if os.geteuid() != 0:
        raise ConfigError("this needs root")
    for root in (paths.data_root, paths.exec_root):
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
    if ask and not _confirmed(paths.data_root):
        return 1
    with _hold_soon(paths):
        reset(config)
    return 0


@contextmanager
def _hold_soon(paths: Paths) -> Iterator[None]:
    """Hold the roots, also when an engine that was told to stop is still about to."""
    deadline = time.monotonic() + _STOPPING
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(hold(paths))
                break
            except InUseError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)
        yield


def _confirmed(data_root: Path) -> bool:
    question = (
        f"This kills all containers of the engine at {data_root} and deletes them, its images "
        "and its volumes. Go on? [y/N] "
    )
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False
