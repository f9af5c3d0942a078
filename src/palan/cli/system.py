"""``palan system reset``: remove an engine's containers, images, volumes and networks."""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from palan.cli.configuration import load_configuration
from palan.cli.exclusive import InUseError, lock_roots
from palan.engine.config_load import ConfigError
from palan.engine.paths import Paths


__all__ = ["system"]

_SHUTDOWN_SECONDS: Final = 2.0
"""The time that an engine with no work to finish takes to end after a signal."""


def system(arguments: Sequence[str]) -> int:
    """Run ``palan system ...`` and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="palan system", description="Manage an engine's data.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    reset = commands.add_parser(
        "reset",
        help="remove an engine with all its objects",
        description="Remove all objects of an engine that is not running: its containers (running "
        "ones are killed), images, volumes, network interfaces and firewall rules.",
        allow_abbrev=False,
    )
    reset.add_argument("--data-root", "-g", metavar="DIR", help="the engine's data root")
    reset.add_argument("--exec-root", metavar="DIR", help="the engine's exec root")
    reset.add_argument(
        "--config-file", type=Path, metavar="FILE", help="the engine's configuration file"
    )
    reset.add_argument("--yes", "-y", action="store_true", help="do not prompt for confirmation")
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
    from palan.engine.reset import is_engine, reset  # noqa: PLC0415 - no other command needs it

    config = load_configuration(flags, config_file).config
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
    with _locked_roots(paths):
        reset(config)
    return 0


@contextmanager
def _locked_roots(paths: Paths) -> Iterator[None]:
    """Lock the roots, waiting shortly for an engine that is just stopping."""
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock_roots(paths))
                break
            except InUseError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)
        yield


def _confirmed(data_root: Path) -> bool:
    question = (
        f"This kills and removes all containers of the engine at {data_root}, and removes its "
        "images and volumes. Are you sure you want to continue? [y/N] "
    )
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False
