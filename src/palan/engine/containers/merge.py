"""Completing a container's configuration with its image's."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from palan.api import UNSET, Unset
from palan.api.containers import ContainerConfig, EmptyObject, HealthConfig
from palan.api.errors import InvalidParameter


__all__ = ["command_line", "inherit_config", "merge_config"]

V = TypeVar("V")


def merge_config(config: ContainerConfig, image: ContainerConfig | None) -> ContainerConfig:
    """Return a new configuration: the container's, completed with the image's.

    Variables, ports, labels and volumes are merged one by one.  If the container has an
    entrypoint, the image's command is ignored; if it has a command, the image's entrypoint
    still applies.  ``Shell`` is not inherited, as in dockerd, nor is ``OnBuild``.

    Args:
        config: the client's; only empty fields are changed in place.
        image: None for a container without an image.

    Raises:
        InvalidParameter: neither has a command to run; in dockerd's words.
    """
    merged = inherit_config(config, image or ContainerConfig())
    command_line(merged)
    return merged


def inherit_config(config: ContainerConfig, image: ContainerConfig) -> ContainerConfig:
    """Like :func:`merge_config`, but the result need not have a command."""
    _drop_empty(config)
    entrypoint, cmd = config.entrypoint, config.cmd
    if not entrypoint:
        cmd = cmd or image.cmd
        if entrypoint is None:
            entrypoint = image.entrypoint or None
    if entrypoint == [""]:
        entrypoint = None
    return msgspec.structs.replace(
        config,
        user=config.user or image.user,
        exposed_ports=_ports(config.exposed_ports, image.exposed_ports),
        env=_environment(config.env, image.env),
        labels={**(image.labels or {}), **(config.labels or {})},
        entrypoint=entrypoint,
        cmd=cmd,
        healthcheck=_healthcheck(config.healthcheck, image.healthcheck),
        working_dir=config.working_dir or image.working_dir,
        volumes=_volumes(config.volumes, image.volumes),
        stop_signal=config.stop_signal or image.stop_signal or UNSET,
    )


def _drop_empty(config: ContainerConfig) -> None:
    """Unset fields that inspect leaves out when they are empty."""
    for name in ("args_escaped", "network_disabled", "on_build", "stop_signal", "shell"):
        if not getattr(config, name):
            setattr(config, name, UNSET)


def command_line(config: ContainerConfig) -> tuple[str, list[str]]:
    """Return the program and its arguments, as inspect shows them: ``Path`` and ``Args``.

    Raises:
        InvalidParameter: there is no command to run.
    """
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words:
        raise InvalidParameter("no command specified")
    return words[0], words[1:]


def _environment(own: list[str] | None, image: list[str] | None) -> list[str] | None:
    if not own:
        return list(image) if image else own
    named = {entry.partition("=")[0] for entry in own}
    return [*own, *(entry for entry in image or () if entry.partition("=")[0] not in named)]


def _merged(own: Mapping[str, V], image: Mapping[str, V]) -> dict[str, V]:
    return {**own, **{key: value for key, value in image.items() if key not in own}}


def _ports(
    own: dict[str, EmptyObject] | Unset, image: dict[str, EmptyObject] | Unset
) -> dict[str, EmptyObject] | Unset:
    if isinstance(image, Unset) or not image:
        return own or UNSET
    return _merged(own or {}, image)


def _volumes(
    own: dict[str, EmptyObject] | None, image: dict[str, EmptyObject] | None
) -> dict[str, EmptyObject] | None:
    return _merged(own or {}, image) if image else own


def _healthcheck(own: HealthConfig | Unset, image: HealthConfig | Unset) -> HealthConfig | Unset:
    if not (isinstance(own, HealthConfig) and isinstance(image, HealthConfig)):
        return own or image or UNSET
    return HealthConfig(
        test=own.test or image.test,
        interval=own.interval or image.interval,
        timeout=own.timeout or image.timeout,
        start_period=own.start_period or image.start_period,
        start_interval=own.start_interval or image.start_interval,
        retries=own.retries or image.retries,
    )
