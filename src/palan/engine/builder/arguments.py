"""Build arguments: what ``ARG`` declares, what the client gave, and who sees what of it."""

from collections.abc import Iterable, Mapping
from typing import Final


__all__ = ["PREDEFINED", "Arguments"]

PREDEFINED: Final = (
    *("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy"),
    *("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"),
)
"""Arguments that need no ``ARG``; they are not in the history, nor does the cache mind them."""


class Arguments:
    """The arguments of one build, as one stage after the other declares them."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        """Begin a build.

        Args:
            given: the client's; None is an argument that it names but has no value for.
        """
        self._given = given
        self._before: dict[str, str | None] = {}
        self._declared: dict[str, str | None] = {}
        self._used: set[str] = set()

    def declare_before(self, name: str, value: str | None) -> None:
        """``ARG`` before the first ``FROM``."""
        self._before[name] = value
        self._used.add(name)

    def begin_stage(self) -> None:
        """A stage sees only what it declares itself."""
        self._declared = {}

    def declare(self, name: str, value: str | None) -> None:
        """``ARG`` in a stage."""
        self._declared[name] = value
        self._used.add(name)

    def for_bases(self) -> dict[str, str]:
        """What ``FROM`` and the ``ARG`` before it may use."""
        return self._values(self._before)

    def environment(self, config: Iterable[str]) -> list[str]:
        """What instructions of the stage see beside the image's environment.

        Args:
            config: the image's environment, whose variables come first.
        """
        taken = {entry.partition("=")[0] for entry in config}
        return [
            f"{name}={value}"
            for name, value in self._values(self._declared).items()
            if name not in taken
        ]

    def told(self, name: str) -> bool:
        """Whether the history tells it, and the cache minds its value."""
        return name in self._declared or name not in PREDEFINED

    def unused(self) -> list[str]:
        """What the client gave and no ``ARG`` declared, sorted."""
        return sorted(set(self._given) - self._used - set(PREDEFINED))

    def _values(self, declared: Mapping[str, str | None]) -> dict[str, str]:
        values = {}
        for name in dict.fromkeys((*declared, *PREDEFINED)):
            # Without a value, it has that of the ARG before the first FROM.
            for value in (self._given.get(name), declared.get(name), self._before.get(name)):
                if value is not None:
                    values[name] = value
                    break
        return values
