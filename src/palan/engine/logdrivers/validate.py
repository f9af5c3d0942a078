"""Validation of the options of log drivers: their names and their values.

dockerd checks most values when the container starts.  They are checked at create here, so that
clients see the error earlier.
"""

import re
from collections.abc import Mapping
from typing import Final

from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.attributes import check_attributes
from palan.engine.logdrivers.drivers import LOG_DRIVERS, SHIPPING
from palan.engine.sizes import parse_size


__all__ = ["check_defaults", "check_options"]

_BUILT_IN: Final = (
    *("mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file"),
    *("cache-compress", "cache-labels", "cache-labels-regex", "cache-env", "cache-env-regex"),
    "cache-tag",
)
"""Options of all drivers; ``cache-`` are those of the files that a driver ships from."""


def check_options(driver: str, options: Mapping[str, str]) -> None:
    """Check the options of a container's log driver.

    Args:
        driver: the name of an existing driver.
        options: its options, merged with the engine's defaults.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if driver == "none":
        return
    _check_common(options)
    _check_names(driver, options)
    check_attributes(options)
    if (shipping := SHIPPING.get(driver)) is None:
        _check_files(driver, options)
    else:
        _check_files("local", _cache(options))
        shipping.check(options)


def check_defaults(driver: str, options: Mapping[str, str]) -> None:
    """Check the engine's default log driver and options, to which containers may add options.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if driver not in LOG_DRIVERS:
        raise InvalidParameter(f"logger: no log driver named '{driver}' is registered")
    if driver == "splunk":  # a container may give the receiver
        options = {"splunk-url": "http://localhost", "splunk-token": "", **options}
    check_options(driver, options)


def _check_names(driver: str, options: Mapping[str, str]) -> None:
    for name in options:
        if name not in _BUILT_IN and name not in LOG_DRIVERS[driver]:
            where = f"log driver {driver}" if driver == "local" else f"{driver} log driver"
            quote = '"' if driver == "gelf" else "'"
            raise InvalidParameter(f"unknown log opt {quote}{name}{quote} for {where}")


def _check_common(options: Mapping[str, str]) -> None:
    """Check the options that all drivers have."""
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidParameter(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidParameter(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        _size(options["max-buffer-size"], "error parsing option max-buffer-size: ", 1024)
    disabled = options.get("cache-disabled", "")
    if disabled and disabled not in BOOLEANS:
        raise InvalidParameter(f"invalid value for option cache-disabled: {disabled}")


def _check_files(driver: str, options: Mapping[str, str]) -> None:
    size = options.get("max-size")
    unlimited = size is None or size == "-1"
    if size is not None and not unlimited and _size(size, "", 1000) <= 0:
        raise InvalidParameter("max-size must be a positive number")
    text = options.get("max-file", "1" if driver == "json-file" else "5")
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise InvalidParameter(f'strconv.Atoi: parsing "{text}": invalid syntax')
    files = int(text[:18])  # Python refuses to parse thousands of digits
    if files < 1:
        raise InvalidParameter("max-file cannot be less than 1")
    compress = options.get("compress", "")
    if compress and compress not in BOOLEANS:
        raise InvalidParameter(f'strconv.ParseBool: parsing "{compress}": invalid syntax')
    if driver == "local" and files == 1 and BOOLEANS.get(compress, True):
        raise InvalidParameter("compression cannot be enabled when max file count is 1")
    if BOOLEANS.get(compress) and driver == "json-file" and (files == 1 or unlimited):
        raise InvalidParameter(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )


def _cache(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the files that a driver ships from, named as for ``local``."""
    start = "cache-"
    return {name.removeprefix(start): v for name, v in options.items() if name.startswith(start)}


def _size(text: str, before: str, base: int) -> int:
    try:
        return parse_size(text, base)
    except ValueError as error:
        raise InvalidParameter(f"{before}{error}") from None
