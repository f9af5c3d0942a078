"""The state of a stage: its last image, and the configuration of the next one."""

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
    """A label that the client gave: a step like ``LABEL``, without variables."""

    name: str
    value: str

    @property
    def source(self) -> str:
        """The instruction as a Dockerfile has it."""
        return f"LABEL {self.name}={self.value}"


@dataclass(slots=True, kw_only=True)
class State(Draft):
    """One stage, from its ``FROM`` on.

    Attributes:
        base: the last image; :attr:`config` is its configuration, or the next image's.
        arguments: the arguments that ``ARG`` has declared.
        cache: finds images that were made before.
    """

    base: Base
    arguments: Arguments
    cache: Cache

    def further_variables(self) -> Iterable[str]:
        """Return the arguments that ``ARG`` has declared."""
        return self.arguments.environment(self.config.env)

    def config_now(self) -> ImageConfig:
        """Return a copy of the configuration, for an image."""
        return copy.deepcopy(self.config)

    def shell_command(self, *words: str) -> list[str]:
        """Return the command that the history shows for a step that runs nothing."""
        return [*self.shell, *words]

    def declare(self, step: Arg) -> str:
        """Declare arguments; return the instruction as the history shows it."""
        expand = self.expander()
        shown = []
        for name, value in step.pairs:
            expanded = None if value is None else expand(value)
            shown.append(name if expanded is None else f"{name}={expanded}")
            self.arguments.declare(name, expanded)
        return "ARG " + " ".join(shown)

    def inherit_check(self, before: HealthConfig | None) -> None:
        """Take what ``HEALTHCHECK`` leaves out from the check before it, as dockerd does."""
        check = self.config.healthcheck
        if check is not None and before is not None:
            for name in ("interval", "timeout", "start_period", "start_interval", "retries"):
                setattr(check, name, getattr(check, name) or getattr(before, name))

    def label(self, step: GivenLabel) -> str:
        """Set a label; return the step as the history shows it."""
        self.config.labels[step.name] = step.value
        return step.source


def begin_stage(base: Base, arguments: Arguments, cache: Cache, escape: str) -> State:
    """Return the state of a stage that begins with an image."""
    config = copy.deepcopy(base.image.config) if base.image else ImageConfig()
    if not any(entry.startswith("PATH=") for entry in config.env):
        config.env.append(_PATH)
    return State(config, escape, base=base, arguments=arguments, cache=cache)
