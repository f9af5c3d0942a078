"""The daemon's configuration, with those checks that need a room of the engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from palan.api.errors import InvalidParameter
from palan.engine.config_load import ConfigError, Loaded, load_config
from palan.engine.logdrivers.validate import check_defaults


__all__ = ["load_configuration"]


def load_configuration(flags: Mapping[str, Sequence[str]], config_file: Path | None) -> Loaded:
    """Read flags and file, see :func:`load_config`, and check the default log driver.

    Raises:
        ConfigError: a directive is invalid.
    """
    loaded = load_config(flags, config_file)
    try:
        check_defaults(loaded.config.log_driver, loaded.config.log_opts)
    except InvalidParameter as error:
        raise ConfigError(f"failed to set log opts: {error.message}") from None
    return loaded
