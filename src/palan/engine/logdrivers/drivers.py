"""All log drivers, and their options."""

from collections.abc import Mapping
from typing import Final

from palan.engine.logdrivers.driver import Driver
from palan.engine.logdrivers.fluentd import Fluentd
from palan.engine.logdrivers.gelf import Gelf
from palan.engine.logdrivers.journald import Journald
from palan.engine.logdrivers.splunk import Splunk
from palan.engine.logdrivers.syslog import Syslog


__all__ = ["COMMON_OPTIONS", "LOG_DRIVERS", "SHIPPING"]

COMMON_OPTIONS: Final = frozenset(("labels", "labels-regex", "env", "env-regex", "tag"))
"""The options of every driver except ``none``."""

_FILES: Final = frozenset(("max-size", "max-file", "compress"))

SHIPPING: Final[Mapping[str, Driver]] = {
    "fluentd": Fluentd(),
    "gelf": Gelf(),
    "journald": Journald(),
    "splunk": Splunk(),
    "syslog": Syslog(),
}
"""The drivers that send lines to a receiver."""

LOG_DRIVERS: Final[Mapping[str, frozenset[str]]] = {
    "json-file": _FILES | COMMON_OPTIONS,
    "local": _FILES | COMMON_OPTIONS,
    "none": frozenset(),
    **{name: driver.options | COMMON_OPTIONS for name, driver in SHIPPING.items()},
}
"""The names of all log drivers, with the options of each."""
