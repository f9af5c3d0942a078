"""How a container's log is kept: its size, its files, whether it can be read.

Drivers that ship lines elsewhere have the file as their buffer; its options begin with
``cache-``, as in dockerd, and its defaults are those of the driver ``local``.
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
"""Of any number that makes sense here; Python refuses to read thousands of them."""

SHIPPED_AT_ONCE: Final = 4 * _MB
"""From this size of a file on, conmon itself begins the next one in time.  Smaller ones would
be full before the engine has seen that; then conmon's limit is this, and the engine looks."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the log of a container is kept.

    Attributes:
        kept: whether there is one.
        readable: whether clients may read it.
        ships: whether a driver sends it elsewhere.
        max_size: bytes of a file at which the next one is begun; 0 is without limit.
        max_files: how many files there are.
        compress: whether full ones are compressed.
    """

    kept: bool = True
    readable: bool = True
    ships: bool = False
    max_size: int = 0
    max_files: int = 1
    compress: bool = False

    @property
    def rotates(self) -> bool:
        """Whether there is more for the engine to do than to let conmon write."""
        return self.kept and self.max_size > 0 and (self.max_files > 1 or self.ships)

    @property
    def is_watched(self) -> bool:
        """Whether the engine has to look at the size of the newest file."""
        return self.rotates and self.max_size < SHIPPED_AT_ONCE

    @property
    def hard_limit(self) -> int:
        """Bytes at which conmon begins another file by itself; 0 is never."""
        return SHIPPED_AT_ONCE if self.is_watched else self.max_size


_UNSAID: Final = LogSettings(max_size=100 * _MB, max_files=5)
"""Of ``json-file``: dockerd has no limit there, and many a disk was filled that way."""

_LOCAL: Final = LogSettings(max_size=20 * _MB, max_files=5, compress=True)


def log_settings(config: LogConfig) -> LogSettings:
    """How a log is kept that is configured so; the configuration is valid."""
    options = config.config or {}
    if config.type == "none":
        return LogSettings(kept=False, readable=False)
    if config.type == "json-file":
        usual = LogSettings() if options.get("max-size") else _UNSAID
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
