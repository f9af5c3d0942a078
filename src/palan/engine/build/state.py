"""What a stage of a build has come to: its image, and the configuration for the next one."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.dockerfile import DockerfileError, expand, expand_words
from palan.engine.build.arguments import Arguments
from palan.engine.build.cache import Cache
from palan.engine.build.steps import Base


__all__ = ["DEFAULT_SHELL", "State"]

T = TypeVar("T")

DEFAULT_SHELL: Final = ("/bin/sh", "-c")
_SPECIAL: Final = re.compile(r"\\\$|[\\\"']")
_LITERAL: Final = {"\\$": r"\\\$", "\\": r"\\", '"': r"\"", "'": r"\'"}
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class State:
    """One stage, from its ``FROM`` on.

    Attributes:
        base: the last image.
        config: its configuration, or already that of the next one.
        arguments: what ``ARG`` has declared.
        cache: where to look for images that were made before.
        escape: the escape character of the Dockerfile.
        author: who ``MAINTAINER`` said it is.
        cmd_given: this stage has a ``CMD``, which an ``ENTRYPOINT`` then leaves alone.
    """

    base: Base
    config: ImageConfig
    arguments: Arguments
    cache: Cache
    escape: str
    author: str = ""
    cmd_given: bool = False

    @classmethod
    def begin(cls, base: Base, arguments: Arguments, cache: Cache, escape: str) -> "State":
        """A stage that begins with an image."""
        config = copy.deepcopy(base.image.config) if base.image else ImageConfig()
        if not any(entry.startswith("PATH=") for entry in config.env):
            config.env.append(_PATH)
        return cls(base, config, arguments, cache, escape)

    def config_now(self) -> ImageConfig:
        """The configuration as it is, for an image; what follows does not change it."""
        return copy.deepcopy(self.config)

    @property
    def shell(self) -> list[str]:
        """What reads the lines of commands."""
        return list(self.config.shell or DEFAULT_SHELL)

    def expander(self) -> Callable[[str], str]:
        """Replaces the variables of a word, as they are now."""
        variables = self._variables()
        return lambda word: _refused(lambda: expand(word, variables, self.escape))

    def words_of(self, text: str) -> list[str]:
        """The words that a text becomes when its variables are replaced."""
        variables = self._variables()
        return _refused(lambda: expand_words(text, variables, self.escape))

    def text(self, text: str) -> str:
        """A text of several lines with its variables replaced; quotes are nothing special."""
        variables = self._variables()
        quoted = _SPECIAL.sub(lambda match: _LITERAL[match[0]], text)
        return _refused(lambda: expand(quoted, variables, "\\"))

    def _variables(self) -> dict[str, str]:
        environment = [*self.config.env, *self.arguments.environment(self.config.env)]
        return dict(entry.partition("=")[::2] for entry in environment)

    def told(self, *words: str) -> list[str]:
        """A step that runs nothing, as the history tells it."""
        return [*self.shell, *words]


def _refused(work: Callable[[], T]) -> T:
    try:
        return work()
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None
