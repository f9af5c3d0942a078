"""Validation of the portable part of a container's configuration, field by field."""

import posixpath
from typing import Final

from palan.api import UNSET, Unset
from palan.api.containers import ContainerConfig, HealthConfig
from palan.api.errors import InvalidParameter
from palan.engine.networks.port_parsing import normal_exposed
from palan.engine.signals import parse_signal


__all__ = ["HOSTNAME_MAX", "validate_config"]

HOSTNAME_MAX: Final = 64
"""HOST_NAME_MAX of limits.h, in bytes."""

_MILLISECOND: Final = 1_000_000
_HEALTH_TESTS: Final = ("NONE", "CMD", "CMD-SHELL")


def validate_config(config: ContainerConfig) -> list[str]:
    """Check a configuration; its working directory is cleaned in place.

    Returns:
        Warnings.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if config.working_dir:
        if not config.working_dir.startswith("/"):
            raise InvalidParameter(
                f"the working directory '{config.working_dir}' is invalid,"
                " it needs to be an absolute path"
            )
        config.working_dir = posixpath.normpath("/" + config.working_dir.lstrip("/"))
    if config.stop_signal:
        parse_signal(config.stop_signal)
    if not isinstance(config.stop_timeout, Unset) and config.stop_timeout < -1:
        raise InvalidParameter(
            f"invalid stop timeout {config.stop_timeout}: use -1 to wait without end"
        )
    for entry in config.env or ():
        if not entry.partition("=")[0]:
            raise InvalidParameter(f"invalid environment variable: {entry}")
        if "\0" in entry:
            raise InvalidParameter("invalid environment variable: contains a NUL character")
    _check_names(config)
    config.exposed_ports = normal_exposed(config.exposed_ports or {}) or UNSET
    for path in config.volumes or ():
        if posixpath.normpath("/" + path) in ("/", "//"):
            raise InvalidParameter("invalid specification: destination can't be '/'")
    return [] if isinstance(config.healthcheck, Unset) else _check_health(config.healthcheck)


def _check_names(config: ContainerConfig) -> None:
    if len(config.hostname.encode()) > HOSTNAME_MAX:
        raise InvalidParameter(
            f'hostname "{config.hostname}" is too long (maximum {HOSTNAME_MAX} bytes)'
        )
    for what, name in (("hostname", config.hostname), ("domainname", config.domainname)):
        if any(character < " " for character in name):
            raise InvalidParameter(f"invalid {what}: it contains control characters")
    for word in (*(config.entrypoint or ()), *(config.cmd or ()), config.user):
        if "\0" in word:
            raise InvalidParameter("invalid command or user: it contains a NUL character")
    if "\0" in config.working_dir:
        raise InvalidParameter("the working directory is invalid: it contains a NUL character")


def _check_health(health: HealthConfig) -> list[str]:
    for name, value in (
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ):
        if value and value < _MILLISECOND:
            raise InvalidParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")
    if health.test and health.test[0] not in _HEALTH_TESTS:
        warning = (
            f"Unknown healthcheck type '{health.test[0]}' (expected 'CMD');"
            " the container will not be checked."
        )
        return [warning]
    return []
