"""Validation of ``LogConfig``: the driver, the names of its options, and their values.

dockerd looks at values when the container starts; finding them at create is kinder.
"""

import re
from typing import Final

from palan.api.booleans import BOOLEANS
from palan.api.containers import LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.sizes import parse_size


__all__ = ["log_limit", "validate_log"]

_BUILT_IN: Final = ("mode", "max-buffer-size")
_MAX_DIGITS: Final = 18
"""Of any number that makes sense here; Python refuses to read thousands of them."""


def log_limit(config: LogConfig) -> int:
    """How large a container's log may become, in bytes; 0 is without limit."""
    options = config.config or {}
    size = options.get("max-size", "")
    if size in ("", "-1"):
        return 0
    files = int((options.get("max-file") or "1")[:_MAX_DIGITS])
    return min(parse_size(size, 1000) * files, 2**62)


def validate_log(config: LogConfig, facts: CreateFacts) -> None:
    """Check a log configuration; no driver means the engine's default one.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    driver, options = config.type or facts.default_log_driver, dict(config.config or {})
    if driver not in facts.log_drivers:
        raise InvalidParameter(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    if driver == "none":
        return
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidParameter(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidParameter(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        _size(options["max-buffer-size"], "error parsing option max-buffer-size: ", 1024)
    known = facts.log_drivers[driver]
    for name in options:
        if name not in _BUILT_IN and name not in known:
            where = f"log driver {driver}" if driver == "local" else f"{driver} log driver"
            raise InvalidParameter(f"unknown log opt '{name}' for {where}")
    if driver in ("json-file", "local"):
        _check_files(driver, options)


def _check_files(driver: str, options: dict[str, str]) -> None:
    size = options.get("max-size")
    unlimited = size is None or size == "-1"
    if size is not None and not unlimited and _size(size, "", 1000) <= 0:
        raise InvalidParameter("max-size must be a positive number")
    text = options.get("max-file", "1" if driver == "json-file" else "5")
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise InvalidParameter(f'strconv.Atoi: parsing "{text}": invalid syntax')
    files = int(text[:18])  # Python refuses thousands of digits
    if files < 1:
        raise InvalidParameter("max-file cannot be less than 1")
    compress = options.get("compress", "")
    if compress and compress not in BOOLEANS:
        raise InvalidParameter(f'strconv.ParseBool: parsing "{compress}": invalid syntax')
    if BOOLEANS.get(compress) and driver == "json-file" and (files == 1 or unlimited):
        raise InvalidParameter(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )


def _size(text: str, before: str, base: int) -> int:
    try:
        return parse_size(text, base)
    except ValueError as error:
        raise InvalidParameter(f"{before}{error}") from None
