"""The room ``engine.system``: ping, version, info, events, disk usage, registry log-in."""

from typing import Any

from palan.api.errors import InvalidParameter
from palan.api.results import MessageStream
from palan.api.system import (
    AuthResponse,
    SystemAuth,
    SystemDataUsageResponse,
    SystemDiskUsage,
    SystemEvents,
    SystemGetInfo,
    SystemGetVersion,
    SystemInfo,
    SystemOpenAPI,
    SystemPing,
    SystemPingHead,
    SystemVersion,
)
from palan.engine.system.disk_usage import disk_usage
from palan.engine.system.event_filters import event_test
from palan.engine.system.info import info
from palan.engine.system.login import login
from palan.engine.system.surroundings import Surroundings
from palan.engine.system.version import version
from palan.engine.timestamps import parse_time


__all__ = ["System"]


class System:
    """Operations on the engine as a whole."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def ping(self, _request: SystemPing) -> str:
        """``GET /_ping``."""
        return "OK"

    async def ping_head(self, _request: SystemPingHead) -> None:
        """``HEAD /_ping``."""

    async def version(self, _request: SystemGetVersion) -> SystemVersion:
        """``GET /version``."""
        return version(self._surroundings)

    async def info(self, _request: SystemGetInfo) -> SystemInfo:
        """``GET /info``."""
        return await info(self._surroundings)

    async def events(self, request: SystemEvents) -> MessageStream:
        """``GET /events``.

        Raises:
            InvalidParameter: a time is malformed, or ``since`` is after ``until``.
        """
        since = _time("since", request.since)
        until = _time("until", request.until)
        if since is not None and until is not None and since > until:
            raise InvalidParameter(
                f"`since` time ({request.since}) cannot be after `until` time ({request.until})"
            )
        test = event_test(request.filters)
        return MessageStream(self._surroundings.events.follow(since, until, test), early=True)

    async def disk_usage(self, request: SystemDiskUsage) -> SystemDataUsageResponse:
        """``GET /system/df``."""
        return await disk_usage(self._surroundings, request)

    async def auth(self, request: SystemAuth) -> AuthResponse:
        """``POST /auth``.

        Raises:
            PalanError: the credentials are wrong, or the registry cannot be reached.
        """
        return await login(self._surroundings.config, request.body)

    async def openapi(self, _request: SystemOpenAPI) -> dict[str, Any]:
        """``GET /openapi.json``."""
        # Imported on demand: rarely needed, and the import would delay every start.
        from palan.api.openapi import document  # noqa: PLC0415

        return document()


def _time(name: str, text: str) -> int | None:
    try:
        return parse_time(text)
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid value for '{name}': {error.message}") from None
