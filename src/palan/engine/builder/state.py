"""What a stage of a build has come to: its image, and the configuration for the next one."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from palan.api.containers import HealthConfig
from palan.api.images import ImageConfig
from palan.dockerfile import Arg
from palan.engine.builder.arguments import Arguments
from palan.engine.builder.cache import Cache
from palan.engine.builder.steps import Base
from palan.engine.images.configure import Draft


__all__ = ["GivenLabel", "State", "begin_stage"]

_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """A label that the client gave: a step like ``LABEL``, but for variables."""

    name: str
    value: str

    @property
    def source(self) -> str:
        """As a Dockerfile would have it."""
        return f"LABEL {self.name}={self.value}"


@dataclass(slots=True, kw_only=True)
class State(Draft):
    """One stage, from its ``FROM`` on.

    Attributes:
        base: the last image, whose configuration :attr:`config` is, or that of the next one.
        arguments: what ``ARG`` has declared.
        cache: where to look for images that were made before.
    """

    base: Base
    arguments: Arguments
    cache: Cache

    def further_variables(self) -> Iterable[str]:
        """What ``ARG`` has declared."""
        return self.arguments.environment(self.config.env)

    def config_now(self) -> ImageConfig:
        """The configuration as it is, for an image; what follows does not change it."""
        return copy.deepcopy(self.config)

    def told(self, *words: str) -> list[str]:
        """A step that runs nothing, as the history tells it."""
        return [*self.shell, *words]

    def declare(self, step: Arg) -> str:
        """``ARG``; how the history tells it."""
        expand = self.expander()
        told = []
        for name, value in step.pairs:
            expanded = None if value is None else expand(value)
            told.append(name if expanded is None else f"{name}={expanded}")
            self.arguments.declare(name, expanded)
        return "ARG " + " ".join(told)

    def inherit_check(self, before: HealthConfig | None) -> None:
        """What ``HEALTHCHECK`` does not say stays as it was before, as with dockerd."""
        check = self.config.healthcheck
        if check is not None and before is not None:
            for name in ("interval", "timeout", "start_period", "start_interval", "retries"):
                setattr(check, name, getattr(check, name) or getattr(before, name))

    def label(self, step: GivenLabel) -> str:
        """A label that was given; how the history tells it."""
        self.config.labels[step.name] = step.value
        return step.source


def begin_stage(base: Base, arguments: Arguments, cache: Cache, escape: str) -> State:
    """A stage that begins with an image."""
    config = copy.deepcopy(base.image.config) if base.image else ImageConfig()
    if not any(entry.startswith("PATH=") for entry in config.env):
        config.env.append(_PATH)
    return State(config, escape, base=base, arguments=arguments, cache=cache)
