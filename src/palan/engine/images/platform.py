"""Platforms of images, and the choice of the best one for a machine."""

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from palan.api import UNSET
from palan.api.errors import InvalidParameter
from palan.api.images import OCIPlatform


__all__ = [
    "Platform",
    "amd64_level",
    "foreign_platform",
    "host_platform",
    "native_platform",
    "parse_json",
    "parse_specifier",
]

_SYSTEM: Final = re.compile(r"[A-Za-z0-9_-]+")
_GO_SYSTEM: Final = r"^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$"
"""The pattern in dockerd's message; Linux has no versions of the operating system."""

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
_AMD64_LEVELS: Final = (
    ("v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("v3", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    ("v4", "avx512bw avx512cd avx512dq avx512f avx512vl"),
)
"""The CPU flags that each level of the processor adds (x86-64 psABI)."""

_PARTS: Final = ("os", "architecture", "variant", "os.version")
_ARM64: Final = re.compile(r"v([89])(?:\.([0-9]))?")
_KNOWN: Final = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x")
)


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor architecture, as Go names them."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, system: str, architecture: str, variant: str = "") -> "Platform":
        """Return a platform with normalised names, without variants that are the default."""
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

    def rank(self, wanted: "Platform", *, strict: bool = False) -> int | None:
        """Return how well an image for this platform suits ``wanted``: 0 is best, None not at all.

        Args:
            wanted: the platform of the machine.
            strict: whether the image must be for exactly that; else, the machine may run
                images for lesser platforms as well, as amd64 runs images for 386.
        """
        if strict:
            return 0 if _with_default_variant(self) == _with_default_variant(wanted) else None
        served = _served(_with_default_variant(wanted))
        told = _with_default_variant(self)
        return served.index(told) if told in served else None

    def message(self) -> OCIPlatform:
        """Return the platform as the API has it."""
        return OCIPlatform(
            architecture=self.architecture, os=self.os, variant=self.variant or UNSET
        )


def _with_default_variant(platform: Platform) -> Platform:
    """Return a platform with the default variant, if it is an ARM without one."""
    if platform.architecture == "arm" and not platform.variant:
        return replace(platform, variant="v7")
    return platform


@lru_cache(maxsize=64)
def _served(platform: Platform) -> tuple[Platform, ...]:
    """Return the platforms of images that a machine runs, the best first, as in containerd."""
    found = [(platform.architecture, platform.variant)]
    match platform.architecture:
        case "amd64":
            found += _below("amd64", platform.variant or "v1", 1)
            found.append(("386", ""))
        case "arm":
            found += _below("arm", platform.variant, 5)
        case "arm64":
            found += _arm64_below(platform.variant or "v8")
            found += [("arm", "v8"), *_below("arm", "v8", 5)]
    return tuple(
        dict.fromkeys(
            Platform.of(platform.os, architecture, variant) for architecture, variant in found
        )
    )


def _below(architecture: str, variant: str, least: int) -> list[tuple[str, str]]:
    """Return the variants ``v<number>`` below one, the highest first."""
    if not variant.removeprefix("v").isdigit():
        return []
    return [
        (architecture, f"v{number}")
        for number in range(int(variant.removeprefix("v")) - 1, least - 1, -1)
    ]


def _arm64_below(variant: str) -> list[tuple[str, str]]:
    """Return the ARM versions from a variant down: 9.x includes 8.(x + 5)."""
    match = _ARM64.fullmatch(variant)
    if match is None:
        return []
    major, minor = int(match[1]), int(match[2] or 0)
    versions = [(major, each) for each in range(minor, -1, -1)]
    if major == 9:
        versions += [(8, each) for each in range(min(minor + 5, 9), -1, -1)]
    return [
        ("arm64", f"v{number}.{below}" if below else f"v{number}") for number, below in versions
    ]


@lru_cache(maxsize=1)
def native_platform() -> Platform:
    """Return the platform of images made here: any machine of this architecture."""
    return Platform.of("linux", os.uname().machine)


@lru_cache(maxsize=1)
def host_platform() -> Platform:
    """Return the platform of this machine, with the level of its processor on amd64."""
    platform = native_platform()
    if platform.architecture == "amd64":
        return replace(platform, variant=amd64_level(Path("/proc/cpuinfo")))
    return platform


def amd64_level(cpuinfo: Path) -> str:
    """Return the level of an amd64 processor; empty for the first, or if unknown."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return ""
    line = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    flags = set(line[1].split()) if line else set()
    level = ""
    for variant, needed in _AMD64_LEVELS:
        if not flags.issuperset(needed.split()):
            break
        level = variant
    return level


def foreign_platform(image: Platform) -> list[str]:
    """Return a warning, in dockerd's words, if this machine may not run an image's platform."""
    host = host_platform()
    plain = not image.variant and (image.os, image.architecture) == (host.os, host.architecture)
    if plain or not image.architecture or image.rank(host) is not None:
        return []
    warning = (
        f"The requested image's platform ({image}) does not match the detected host platform"
        f" ({host}) and no specific platform was requested"
    )
    return [warning]


def parse_specifier(text: str) -> Platform:
    """Parse ``os[/arch[/variant]]`` or ``arch[/variant]``, as in a query parameter.

    Raises:
        InvalidParameter: it is malformed.
    """
    parts = text.split("/")
    if len(parts) > 3:
        raise InvalidParameter(f'"{text}": cannot parse platform specifier: invalid argument')
    if not _SYSTEM.fullmatch(parts[0]):
        raise InvalidParameter(
            f'"{parts[0]}" is an invalid OS component of "{text}": OSAndVersion specifier'
            f' component must match "{_GO_SYSTEM}": invalid argument'
        )
    for part in parts[1:]:
        if not _COMPONENT.fullmatch(part):
            raise InvalidParameter(
                f'"{part}" is an invalid component of "{text}": platform specifier component'
                f' must match "^[A-Za-z0-9_.-]+$": invalid argument'
            )
    first = parts[0].lower()
    if len(parts) == 1:
        if first in _SYSTEMS:
            return replace(native_platform(), os=first)
        if first in _ARCHITECTURES or first in _KNOWN:
            return Platform.of("linux", first)
        raise InvalidParameter(
            f'"{text}": unknown operating system or architecture: invalid argument'
        )
    if len(parts) == 2 and first not in _SYSTEMS and (first in _ARCHITECTURES or first in _KNOWN):
        return Platform.of("linux", first, parts[1])
    return Platform.of(*parts)


def parse_json(text: str) -> Platform:
    """Parse a platform as JSON, ``{"os": "linux", "architecture": "amd64"}``.

    Raises:
        InvalidParameter: it is malformed.
    """
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidParameter(f"failed to parse platform: {_go_complaint(text)}") from None
    parts = [value.get(key) or "" for key in _PARTS] if isinstance(value, dict) else [None]
    if not all(isinstance(part, str) for part in parts):
        raise InvalidParameter(
            "failed to parse platform: it must be an object with os and architecture,"
            ' such as {"os": "linux", "architecture": "amd64"}'
        )
    system, architecture, *optional = map(str, parts)
    if not system and not architecture and any(optional):
        raise InvalidParameter(
            "optional platform fields provided, but OS and Architecture are missing"
        )
    if not system or not architecture:
        raise InvalidParameter("both OS and Architecture must be provided")
    return Platform.of(system, architecture, optional[0])


def _go_complaint(text: str) -> str:
    stripped = text.lstrip()
    if not stripped:
        return "unexpected end of JSON input"
    if stripped[0] not in '{["-0123456789tfn':
        return f"invalid character '{stripped[0]}' looking for beginning of value"
    return "invalid JSON"
