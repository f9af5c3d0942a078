"""The client: an engine's address, the API version in use, and an attribute for each API group."""

import os
from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from palan import __version__
from palan.api.version import MAX_VERSION, MIN_VERSION, Version
from palan.client._async.response import AsyncResponse
from palan.client._async.transport import AsyncRequest, AsyncTransport
from palan.client._environment import Environment
from palan.client._limits import CLIENT, Limit
from palan.client.errors import ClientError, ConfigError, ProtocolError


if TYPE_CHECKING:
    import ssl

    from palan.client._async.build import AsyncBuild
    from palan.client._async.calling import AsyncCalling
    from palan.client._async.calls.configs import AsyncConfigsCalls
    from palan.client._async.calls.networks import AsyncNetworksCalls
    from palan.client._async.calls.nodes import AsyncNodesCalls
    from palan.client._async.calls.plugins import AsyncPluginsCalls
    from palan.client._async.calls.secrets import AsyncSecretsCalls
    from palan.client._async.calls.services import AsyncServicesCalls
    from palan.client._async.calls.swarm import AsyncSwarmCalls
    from palan.client._async.calls.system import AsyncSystemCalls
    from palan.client._async.calls.tasks import AsyncTasksCalls
    from palan.client._async.calls.volumes import AsyncVolumesCalls
    from palan.client._async.containers import AsyncContainers
    from palan.client._async.exec import AsyncExec
    from palan.client._async.images import AsyncImages
    from palan.client._async.io import AsyncBody, AsyncStream
    from palan.client._async.tls import AsyncTLSStream

__all__ = ["AsyncClient"]


_MAX_PING: Final = 1 << 16
"""The most bytes of the response to a ping that are read."""


class AsyncClient:
    """A client of one engine.

    Every group of the API is an attribute: ``client.containers.list()``. Connections are opened
    when they are needed and kept for later calls; :meth:`close`, or the end of a ``with``,
    closes them all.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        context: str | None = None,
        version: str | None = None,
        tls: "ssl.SSLContext | None" = None,
        timeout: float | None = 120.0,
        connect_timeout: float | None = 10.0,
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Choose an engine; nothing is sent yet.

        Args:
            host: the engine's address (``unix:///run/docker.sock``, ``tcp://host:2376``,
                ``ssh://user@host``). Without it, as with the docker CLI: ``context``,
                ``DOCKER_HOST``, ``DOCKER_CONTEXT``, the current context of ``config.json``,
                or else ``unix:///var/run/docker.sock``.
            context: the name of one of the docker CLI's contexts.
            version: the API version to use, such as ``1.41``; without it
                ``DOCKER_API_VERSION``, or else the newest that both sides support.
            tls: the TLS context for connections; without it, that of the context, or of
                ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``.
            timeout: seconds for a whole call that has no limit of its own; None is no limit.
                Calls that take long by nature (waiting, streams, stopping, pulling) have no
                limit unless they are given one.
            connect_timeout: seconds for opening a connection; None is no limit.
            headers: headers to send with every request.
            environ: the environment variables to use; without it ``os.environ``.

        Raises:
            ConfigError: the address, the context, a certificate or a version is invalid.
        """
        self.environment = Environment(os.environ if environ is None else environ)
        self.address = self.environment.address(host, context, tls)
        self.timeout = timeout
        self._headers = {**self.environment.headers(), **(headers or {})}
        self._headers.setdefault("User-Agent", f"palan/{__version__}")
        self._transport = AsyncTransport(self.address, connect_timeout)
        self._version: Version | None = None
        pinned = version or self.environment.version()
        if pinned:
            try:
                self._version = Version.parse(pinned.removeprefix("v"))
            except ValueError:
                raise ConfigError(f"{pinned!r} is no version of the API") from None
            if not MIN_VERSION <= self._version <= MAX_VERSION:
                raise ConfigError(
                    f"API version {pinned} is not supported: {MIN_VERSION} to {MAX_VERSION} are"
                )

    # ---- groups --------------------------------------------------------------------

    @cached_property
    def containers(self) -> "AsyncContainers":
        """Containers: their lifecycle, streams and files."""
        from palan.client._async.containers import AsyncContainers

        return AsyncContainers(self)

    @cached_property
    def exec(self) -> "AsyncExec":
        """Additional processes in running containers."""
        from palan.client._async.exec import AsyncExec

        return AsyncExec(self)

    @cached_property
    def images(self) -> "AsyncImages":
        """Images: their names, content and transfer."""
        from palan.client._async.images import AsyncImages

        return AsyncImages(self)

    @cached_property
    def build(self) -> "AsyncBuild":
        """Builds of images from Dockerfiles, and the build cache."""
        from palan.client._async.build import AsyncBuild

        return AsyncBuild(self)

    @cached_property
    def networks(self) -> "AsyncNetworksCalls":
        """Networks, and the containers connected to them."""
        from palan.client._async.calls.networks import AsyncNetworksCalls

        return AsyncNetworksCalls(self)

    @cached_property
    def volumes(self) -> "AsyncVolumesCalls":
        """Volumes: data that outlives containers."""
        from palan.client._async.calls.volumes import AsyncVolumesCalls

        return AsyncVolumesCalls(self)

    @cached_property
    def system(self) -> "AsyncSystemCalls":
        """Information about the engine, its events, and its use of disk space."""
        from palan.client._async.calls.system import AsyncSystemCalls

        return AsyncSystemCalls(self)

    @cached_property
    def swarm(self) -> "AsyncSwarmCalls":
        """The swarm that the engine is a part of."""
        from palan.client._async.calls.swarm import AsyncSwarmCalls

        return AsyncSwarmCalls(self)

    @cached_property
    def nodes(self) -> "AsyncNodesCalls":
        """The machines of the swarm."""
        from palan.client._async.calls.nodes import AsyncNodesCalls

        return AsyncNodesCalls(self)

    @cached_property
    def services(self) -> "AsyncServicesCalls":
        """Services of the swarm."""
        from palan.client._async.calls.services import AsyncServicesCalls

        return AsyncServicesCalls(self)

    @cached_property
    def tasks(self) -> "AsyncTasksCalls":
        """Tasks of the swarm's services."""
        from palan.client._async.calls.tasks import AsyncTasksCalls

        return AsyncTasksCalls(self)

    @cached_property
    def secrets(self) -> "AsyncSecretsCalls":
        """Secrets of the swarm."""
        from palan.client._async.calls.secrets import AsyncSecretsCalls

        return AsyncSecretsCalls(self)

    @cached_property
    def configs(self) -> "AsyncConfigsCalls":
        """Configs of the swarm."""
        from palan.client._async.calls.configs import AsyncConfigsCalls

        return AsyncConfigsCalls(self)

    @cached_property
    def plugins(self) -> "AsyncPluginsCalls":
        """Plugins of the engine."""
        from palan.client._async.calls.plugins import AsyncPluginsCalls

        return AsyncPluginsCalls(self)

    @cached_property
    def calling(self) -> "AsyncCalling":
        """The sender of declared calls; it imports the API's messages when it is first used."""
        from palan.client._async.calling import AsyncCalling

        return AsyncCalling(self)

    # ---- the version ---------------------------------------------------------------

    async def negotiate(self) -> Version:
        """Return the API version in use: the pinned one, or the newest that both sides support.

        Raises:
            ProtocolError: the engine is too old, or the response is not an engine's.
        """
        while self._version is None:
            await self.ping()
        return self._version

    async def ping(self, method: str = "GET", timeout: Limit = CLIENT) -> str:
        """Check whether the engine answers, and negotiate the API version.

        Args:
            method: ``GET`` or ``HEAD``.
            timeout: seconds for the whole call; None is no limit.

        Returns:
            The text of the response, which is ``OK``.
        """
        limit = self.timeout if timeout is CLIENT else timeout
        response = await self.send(
            AsyncRequest(method, "/_ping", total=limit, brief=True), "/_ping"
        )
        await response.raise_for_status()
        text = await response.read_some(_MAX_PING)
        if self._version is None:
            self._version = _newest_common(response.headers.get("api-version", ""))
        return text.decode("utf-8", "replace")

    @property
    def spoken(self) -> Version:
        """The API version in use; the newest one before it was negotiated."""
        return self._version or MAX_VERSION

    # ---- raw requests --------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: "AsyncBody | None" = None,
        json: Any = None,
        version: str | None = None,
        hijack: bool = False,
        timeout: Limit = CLIENT,
    ) -> AsyncResponse:
        """Send any request and return the raw response, whatever its status.

        Args:
            method: the HTTP method.
            path: the path, optionally with a query; the version is put before it unless it
                has one.
            query: parameters: text, numbers, booleans (``1`` and ``0``), lists for repeated
                parameters, dictionaries for JSON.
            headers: headers of the request.
            body: bytes, a file, or an iterable of bytes.
            json: a value to send as JSON body.
            version: the version to put before the path; empty for none.
            hijack: use the connection as a stream: the response's ``send`` writes to it.
            timeout: seconds to wait for the head and each further chunk; None is no limit.

        Raises:
            TransportError: no usable response arrived.
        """
        target = path if path.startswith("/") else f"/{path}"
        if query:
            from urllib.parse import urlencode

            pairs = [pair for name, value in query.items() for pair in _pairs(name, value)]
            target += ("&" if "?" in target else "?") + urlencode(pairs)
        lines = dict(headers or {})
        if json is not None:
            body = _json(json)
            lines.setdefault("Content-Type", "application/json")
        if hijack:
            lines.setdefault("Upgrade", "tcp")
            lines.setdefault("Connection", "Upgrade")
        if version is None and not _has_version(target):
            version = str(await self.negotiate())
        if version:
            target = f"/v{version.removeprefix('v')}{target}"
        limit = self.timeout if timeout is CLIENT else timeout
        return await self.send(
            AsyncRequest(method, target, lines.items(), body, each=limit, hijack=hijack),
            path.partition("?")[0],
        )

    async def dial(self) -> "AsyncStream | AsyncTLSStream":
        """Open a connection to the engine, on which the caller itself speaks HTTP.

        It is closed together with the client.
        """
        return await self._transport.dial()

    async def send(self, request: AsyncRequest, path: str) -> AsyncResponse:
        """Send a request unchanged, and wait for the head of its response."""
        request.headers = [*self._headers.items(), *request.headers]
        try:
            exchange = await self._transport.send(request)
        except ClientError as error:
            error.method, error.path = error.method or request.method, error.path or path
            raise
        return AsyncResponse(exchange, request.method, path)

    # ---- closing -------------------------------------------------------------------

    async def close(self) -> None:
        """Close all connections; calls in progress raise ``ClientClosed``."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.address)!r})"


def _has_version(target: str) -> bool:
    return target[:2] == "/v" and target[2:3].isdigit()


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    """Return the name-value pairs of a query parameter."""
    if isinstance(value, Mapping):
        return [(name, _json(value).decode())]
    if isinstance(value, list | tuple):
        return [(name, str(one)) for one in value]
    if value is None:
        return []
    return [(name, str(int(value)) if isinstance(value, bool) else str(value))]


def _json(value: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


def _newest_common(header: str) -> Version:
    try:
        offered = Version.parse(header) if header else MIN_VERSION
    except ValueError:
        raise ProtocolError(f"the engine reports the malformed API version {header!r}") from None
    if offered < MIN_VERSION:
        raise ProtocolError(
            f"the engine's API version {offered} is too old: the oldest supported is {MIN_VERSION}"
        )
    return min(offered, MAX_VERSION)
