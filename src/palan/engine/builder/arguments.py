"""Build arguments: declared by ``ARG``, given by the client, visible by stage."""

from collections.abc import Iterable, Mapping
from typing import Final


__all__ = ["PREDEFINED", "Arguments"]

PREDEFINED: Final = (
    *("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy"),
    *("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"),
)
"""Arguments that need no ``ARG``; neither history nor cache key contain them."""


class Arguments:
    """The arguments of one build; each stage declares its own."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        """Begin a build.

        Args:
            given: the arguments of the client; None is one that it names without a value.
        """
        self._given = given
        self._before: dict[str, str | None] = {}
        self._declared: dict[str, str | None] = {}
        self._used: set[str] = set()

    def declare_before(self, name: str, value: str | None) -> None:
        """Declare an argument before the first ``FROM``."""
        self._before[name] = value
        self._used.add(name)

    def begin_stage(self) -> None:
        """Discard the declarations of the stage before."""
        self._declared = {}

    def declare(self, name: str, value: str | None) -> None:
        """Declare an argument in a stage."""
        self._declared[name] = value
        self._used.add(name)

    def for_bases(self) -> dict[str, str]:
        """Return the variables of ``FROM`` and of ``ARG`` before it."""
        return self._values(self._before)

    def environment(self, config: Iterable[str]) -> list[str]:
        """Return the variables that instructions see besides the image's environment.

        Args:
            config: the image's environment, which takes precedence.
        """
        taken = {entry.partition("=")[0] for entry in config}
        return [
            f"{name}={value}"
            for name, value in self._values(self._declared).items()
            if name not in taken
        ]

    def recorded(self, name: str) -> bool:
        """Whether history and cache key contain the argument's value."""
        return name in self._declared or name not in PREDEFINED

    def unused(self) -> list[str]:
        """Return the client's arguments that no ``ARG`` declared, sorted."""
        return sorted(set(self._given) - self._used - set(PREDEFINED))

    def _values(self, declared: Mapping[str, str | None]) -> dict[str, str]:
        values = {}
        for name in dict.fromkeys((*declared, *PREDEFINED)):
            # Without a value, it has the one of the ARG before the first FROM.
            for value in (self._given.get(name), declared.get(name), self._before.get(name)):
                if value is not None:
                    values[name] = value
                    break
        return values
