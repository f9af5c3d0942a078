"""Routing: from a method and a target to an endpoint, by the rules of dockerd's router.

A wrong method is a 404, like an unknown path. Paths are matched after unescaping, and a
path that is not in its shortest form is redirected. The API version is checked after the
path, so that an unknown path is a 404 in every version.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from palan.api.endpoint import Endpoint
from palan.api.version import Version


__all__ = ["BadTarget", "Found", "Redirect", "Router", "Target", "split_target"]

_VERSION: Final = re.compile(r"/v([0-9.]+)(?=/)")
_PARAMETER: Final = re.compile(r"{(\w+)(\.\.\.)?}")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNCLEAN: Final = re.compile(r"//|/\.{1,2}(?:/|$)")
_SPELLINGS: Final = {"/networks/": "/networks"}
"""Paths with a slash at the end that dockerd has a route for, and the paths that they mean."""


class BadTarget(Exception):
    """The target of a request is neither a path nor a URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a request, split."""

    path: str
    """The unescaped path, including the version."""

    query: str
    """The query as it was sent."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection to the shortest form of the path."""

    location: str


@dataclass(frozen=True, slots=True)
class Found:
    """A path of the API that was found."""

    endpoint: Endpoint | None
    """The endpoint; None for OPTIONS, which is answered for every path."""

    parameters: dict[str, str]
    version: str
    """The version as it was sent; empty without one."""


def split_target(target: str) -> Target:
    """Split the target of a request, which is a path or an absolute URL.

    Raises:
        BadTarget: it is neither.
    """
    if not target.startswith("/"):
        try:
            parts = urlsplit(target)
        except ValueError:
            raise BadTarget(target) from None
        if not parts.scheme or not parts.netloc:
            # "*" is the target of OPTIONS for the server as a whole.
            if target != "*":
                raise BadTarget(target)
            return Target("*", "")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path, _, query = target.partition("#")[0].partition("?")
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise BadTarget(target)
        path = unquote(path, errors="replace")
    return Target(path, query)


class Router:
    """All endpoints, indexed by method and path."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Endpoint]]] = {}
        for endpoint in endpoints:
            if "{" not in endpoint.path:
                self._fixed[endpoint.method, endpoint.path] = endpoint
                continue
            key = (endpoint.method, _first_segment(endpoint.path))
            self._patterns.setdefault(key, []).append((_compile(endpoint.path), endpoint))
        for patterns in self._patterns.values():
            # Of two that match, the one with more literal text goes first.
            patterns.sort(key=lambda entry: -len(_PARAMETER.sub("", entry[1].path)))

    def __iter__(self) -> Iterator[Endpoint]:
        yield from self._fixed.values()
        for patterns in self._patterns.values():
            yield from (endpoint for _, endpoint in patterns)

    def find(self, method: str, target: Target) -> Found | Redirect | None:
        """Return the endpoint for a request, or a redirection; None if the path is unknown."""
        path = target.path
        if _UNCLEAN.search(path) or not path.startswith("/"):
            return Redirect(_clean(target))
        version = ""
        match = _VERSION.match(path)
        if match:
            version, path = match[1], path[match.end() :]
            try:
                Version.parse(version)
            except ValueError:
                return None
        if method == "OPTIONS":
            return Found(None, {}, version)
        path = _SPELLINGS.get(path, path)
        endpoint = self._fixed.get((method, path))
        if endpoint is not None:
            return Found(endpoint, {}, version)
        for pattern, candidate in self._patterns.get((method, _first_segment(path)), ()):
            found = pattern.fullmatch(path)
            if found:
                return Found(candidate, found.groupdict(), version)
        return None


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1]


def _compile(path: str) -> re.Pattern[str]:
    pattern, end = "", 0
    for match in _PARAMETER.finditer(path):
        inner = ".+" if match[2] else "[^/]+"
        pattern += f"{re.escape(path[end : match.start()])}(?P<{match[1]}>{inner})"
        end = match.end()
    return re.compile(pattern + re.escape(path[end:]), re.DOTALL)


def _clean(target: Target) -> str:
    parts: list[str] = []
    for part in target.path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    path = "/" + "/".join(parts)
    if target.path.endswith("/") and parts:
        path += "/"
    # A location that begins with "//" would name a host.
    return quote(path, safe="/:@!$&'()+,;=~") + (f"?{target.query}" if target.query else "")
