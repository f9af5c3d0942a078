"""Settings of a container's log files: their size and number, and whether clients may read them.

For drivers that ship lines to a receiver the files are the buffer.  Their options then begin
with ``cache-``, as in dockerd, and have the defaults of the driver ``local``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from palan.api.booleans import BOOLEANS
from palan.api.containers import LogConfig
from palan.engine.sizes import parse_size


__all__ = ["LogSettings", "log_settings"]

_MB: Final = 1_000_000
_MAX_DIGITS: Final = 18
"""Digits of the largest sensible number; Python refuses to parse thousands of digits."""

SAFE_SIZE: Final = 8 * _MB
"""The smallest file size for which conmon alone keeps the limit.  Smaller files could fill up
again before the engine has numbered them, and would be lost: conmon writes 100 MB/s.  For them
conmon gets this limit, and the engine polls their size."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The settings of a container's log files.

    Attributes:
        kept: whether a log is written.
        readable: whether clients may read it.
        ships: whether a driver sends it to a receiver.
        max_size: bytes of a file at which the next one is begun; 0 for no limit.
        max_files: the number of files, the newest included.
        compress: whether full files are compressed.
    """

    kept: bool = True
    readable: bool = True
    ships: bool = False
    max_size: int = 0
    max_files: int = 1
    compress: bool = False

    @property
    def rotates(self) -> bool:
        """Whether the engine must number, delete or compress files."""
        return self.kept and self.max_size > 0

    @property
    def is_watched(self) -> bool:
        """Whether the engine must poll the size of the newest file."""
        return self.rotates and self.max_size < SAFE_SIZE

    @property
    def hard_limit(self) -> int:
        """Bytes at which conmon begins another file by itself; 0 for never."""
        return SAFE_SIZE if self.is_watched else self.max_size


_JSON_FILE: Final = LogSettings(max_size=100 * _MB, max_files=5)
"""The default of ``json-file``, for which dockerd has no limit, so that logs can fill a disk."""

_LOCAL: Final = LogSettings(max_size=20 * _MB, max_files=5, compress=True)


def log_settings(config: LogConfig) -> LogSettings:
    """Return the settings of a log for a valid configuration."""
    options = config.config or {}
    if config.type == "none":
        return LogSettings(kept=False, readable=False)
    if config.type == "json-file":
        usual = LogSettings() if options.get("max-size") else _JSON_FILE
        return _with(usual, options)
    if config.type == "local":
        return _with(_LOCAL, options)
    cache = {
        name.removeprefix("cache-"): value
        for name, value in options.items()
        if name.startswith("cache-")
    }
    readable = not BOOLEANS.get(cache.get("disabled", ""), False)
    return _with(_LOCAL, cache, readable=readable, ships=True)


def _with(
    usual: LogSettings,
    options: Mapping[str, str],
    *,
    readable: bool = True,
    ships: bool = False,
) -> LogSettings:
    size, files = options.get("max-size"), options.get("max-file")
    compress = options.get("compress")
    return LogSettings(
        readable=readable,
        ships=ships,
        max_size=_size(size) if size else usual.max_size,
        max_files=int(files[:_MAX_DIGITS]) if files else usual.max_files,
        compress=BOOLEANS.get(compress, False) if compress else usual.compress,
    )


def _size(text: str) -> int:
    return 0 if text == "-1" else min(parse_size(text, 1000), 2**62)
