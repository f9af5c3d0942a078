"""Validation of ``LogConfig``: the driver and its options."""

from palan.api.containers import LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.logdrivers.drivers import SHIPPING
from palan.engine.logdrivers.validate import check_options


__all__ = ["validate_log"]


def validate_log(config: LogConfig, facts: CreateFacts) -> list[str]:
    """Check a log configuration; without a driver, that of the engine's default.

    Returns:
        Warnings.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    driver = config.type or facts.default_log_driver
    if driver not in facts.log_drivers:
        raise InvalidParameter(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    check_options(driver, config.config or {})
    shipping = SHIPPING.get(driver)
    return [] if shipping is None else shipping.warnings(config)
