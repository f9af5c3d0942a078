"""``engine.system``."""

from typing import TYPE_CHECKING, Any

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
from palan.engine.system.version import version
from palan.engine.timestamps import parse_time


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["System"]


class System:
    """The engine about itself."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def ping(self, _request: SystemPing) -> str:
        """``GET /_ping``."""
        return "OK"

    async def ping_head(self, _request: SystemPingHead) -> None:
        """``HEAD /_ping``."""

    async def version(self, _request: SystemGetVersion) -> SystemVersion:
        """``GET /version``."""
        return version(self._engine)

    async def info(self, _request: SystemGetInfo) -> SystemInfo:
        """``GET /info``."""
        return await info(self._engine)

    async def events(self, request: SystemEvents) -> MessageStream:
        """``GET /events``.

        Raises:
            InvalidParameter: a time is none, or ``since`` is after ``until``.
        """
        since = _time("since", request.since)
        until = _time("until", request.until)
        if since is not None and until is not None and since > until:
            raise InvalidParameter(
                f"`since` time ({request.since}) cannot be after `until` time ({request.until})"
            )
        test = event_test(request.filters)
        return MessageStream(self._engine.events.follow(since, until, test), early=True)

    async def disk_usage(self, request: SystemDiskUsage) -> SystemDataUsageResponse:
        """``GET /system/df``."""
        return await disk_usage(self._engine, request)

    async def auth(self, request: SystemAuth) -> AuthResponse:
        """``POST /auth``.

        Raises:
            PalanError: the credentials are not good, or the registry cannot be asked.
        """
        return await login(self._engine, request.body)

    async def openapi(self, _request: SystemOpenAPI) -> dict[str, Any]:
        """``GET /openapi.json``."""
        # Imported on demand: few ask, and everybody would wait for it at start.
        from palan.api.openapi import document  # noqa: PLC0415

        return document()


def _time(name: str, text: str) -> int | None:
    try:
        return parse_time(text)
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid value for '{name}': {error.message}") from None
