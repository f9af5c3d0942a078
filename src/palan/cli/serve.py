"""``palan serve``: read the command line and the configuration, then run the engine."""

import gc
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from palan.cli.configuration import load_configuration
from palan.cli.exclusive import InUseError, lock_roots, pid_file
from palan.cli.flags import ServeFlags, parse_flags
from palan.engine.config import EngineConfig
from palan.engine.config_load import ConfigError, Loaded


__all__ = ["serve"]

_OPEN_FILES: Final = 65536


def serve(arguments: Sequence[str]) -> int:
    """Run an engine until a signal stops it.

    Returns:
        The exit status: 0 after a clean stop, 1 when it could not start.
    """
    flags = parse_flags(arguments)
    try:
        loaded = load_configuration(flags.given, flags.config_file)
        if flags.validate:
            return _report_valid(loaded)
        if os.geteuid() != 0:
            return _report_failure("the engine needs to be started as root")
        return _run(loaded, flags)
    except (ConfigError, InUseError) as error:
        return _report_failure(str(error))


def _report_valid(loaded: Loaded) -> int:
    for warning in loaded.warnings:
        print(f"palan serve: warning: {warning}", file=sys.stderr)  # noqa: T201 - no log yet
    print("configuration OK")  # noqa: T201 - the command's output
    return 0


def _report_failure(reason: str) -> int:
    print(f"palan serve: {reason}", file=sys.stderr)  # noqa: T201 - there may be no log yet
    return 1


def _run(loaded: Loaded, flags: ServeFlags) -> int:
    # The modules and objects of start-up are never freed, so collecting now would find nothing.
    gc.disable()
    # Imported late: a refused command line should not wait for half a second of imports.
    from palan.cli.logging import set_up_logging  # noqa: PLC0415 - see above

    config = loaded.config
    set_up_logging(config)
    os.umask(0o022)
    for root in (config.paths.data_root, config.paths.exec_root):
        try:
            root.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the directory {root}: {error.strerror}") from None
    with ExitStack() as held:
        try:
            held.enter_context(lock_roots(config.paths))
            held.enter_context(pid_file(Path(config.pidfile) if config.pidfile else None))
        except OSError as error:
            raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from None
        warnings = [*loaded.warnings, *_adjust_process(config)]

        from palan.cli.daemon import run_daemon  # noqa: PLC0415 - see above

        return run_daemon(config, flags, warnings)


def _adjust_process(config: EngineConfig) -> list[str]:
    """Set the limit of open files and the OOM score; return warnings of what the kernel refused."""
    warnings = []
    # A container takes about five descriptors; the usual soft limit is 1024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if config.oom_score_adjust:
        try:
            Path("/proc/self/oom_score_adj").write_text(f"{config.oom_score_adjust}\n")
        except OSError as error:
            warnings.append(
                f"oom-score-adjust {config.oom_score_adjust} was refused by the kernel: "
                f"{error.strerror}"
            )
    return warnings
