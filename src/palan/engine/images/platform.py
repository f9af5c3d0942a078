"""Platforms: what machine an image is for, and which one to take where there are several."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from palan.api import UNSET
from palan.api.errors import InvalidParameter
from palan.api.images import OCIPlatform


__all__ = ["Platform", "host_platform", "parse_json", "parse_specifier"]

_COMPONENT: Final = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEMS: Final = frozenset(
    ("linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "solaris", "aix", "plan9")
)
_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
}
_ARM: Final = {f"v{number}": number for number in range(5, 10)}
"""Variants of 32-bit ARM; each runs what is for those before it."""

_KNOWN: Final = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x")
)


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system on a processor, in Go's names."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, system: str, architecture: str, variant: str = "") -> "Platform":
        """With the usual names, and without variants that are a matter of course."""
        architecture = architecture.lower()
        known = _ARCHITECTURES.get(architecture)
        if known is not None:
            architecture, implied = known
            variant = variant or implied
        if (architecture, variant) in (("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")):
            variant = ""
        if architecture == "arm" and variant in ("5", "6", "7", "8"):
            variant = f"v{variant}"
        return cls(system.lower(), architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, wanted: "Platform") -> int | None:
        """How well an image for this platform serves ``wanted``: 0 is best, None not at all."""
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        if self.variant == wanted.variant:
            return 0
        if self.architecture == "arm":
            ours, theirs = _ARM.get(self.variant or "v7"), _ARM.get(wanted.variant or "v7")
            return None if ours is None or theirs is None or ours > theirs else theirs - ours
        # A plain image runs on any variant; one for a variant needs that variant.
        return 1 if not self.variant else None

    def message(self) -> OCIPlatform:
        """As the API writes it."""
        return OCIPlatform(
            architecture=self.architecture, os=self.os, variant=self.variant or UNSET
        )


@lru_cache(maxsize=1)
def host_platform() -> Platform:
    """What this machine runs."""
    return Platform.of("linux", os.uname().machine)


def parse_specifier(text: str) -> Platform:
    """Read ``os[/arch[/variant]]`` (or ``arch[/variant]``) as a query parameter has it.

    Raises:
        InvalidParameter: it is no platform.
    """
    parts = text.split("/")
    if len(parts) > 3:
        raise InvalidParameter(f'"{text}": cannot parse platform specifier: invalid argument')
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            raise InvalidParameter(
                f'"{part}" is an invalid component of "{text}": platform specifier component'
                f' must match "^[A-Za-z0-9_.-]+$": invalid argument'
            )
    first = parts[0].lower()
    host = host_platform()
    if len(parts) == 1:
        if first in _SYSTEMS:
            return Platform.of(first, host.architecture, host.variant)
        if first in _ARCHITECTURES or first in _KNOWN:
            return Platform.of("linux", first)
        raise InvalidParameter(
            f'"{text}": unknown operating system or architecture: invalid argument'
        )
    if len(parts) == 2 and first not in _SYSTEMS and (first in _ARCHITECTURES or first in _KNOWN):
        return Platform.of("linux", first, parts[1])
    return Platform.of(*parts)


def parse_json(text: str) -> Platform:
    """Read a platform as JSON, ``{"os": "linux", "architecture": "amd64"}``.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidParameter(f"failed to parse platform: {_go_complaint(text)}") from None
    system = value.get("os") if isinstance(value, dict) else None
    architecture = value.get("architecture") if isinstance(value, dict) else None
    variant = (value.get("variant") or "") if isinstance(value, dict) else None
    if not all(isinstance(part, str) for part in (system, architecture, variant)):
        raise InvalidParameter(
            "failed to parse platform: it must be an object with os and architecture,"
            ' such as {"os": "linux", "architecture": "amd64"}'
        )
    if not system or not architecture:
        raise InvalidParameter("both OS and Architecture must be provided")
    return Platform.of(system, str(architecture), str(variant))


def _go_complaint(text: str) -> str:
    stripped = text.lstrip()
    if not stripped:
        return "unexpected end of JSON input"
    if stripped[0] not in '{["-0123456789tfn':
        return f"invalid character '{stripped[0]}' looking for beginning of value"
    return "invalid JSON"
