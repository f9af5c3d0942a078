"""Calls of declared endpoints, on which the groups' methods are based.

It is a module of its own because it imports the declarations and their messages, which takes longer
than everything that a mere ping needs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from palan.api.results import Hijack, PathStat, Stat
from palan.api.version import Version
from palan.client._argument_types import check_seconds
from palan.client._async.io import in_thread
from palan.client._async.response import AsyncResponse
from palan.client._async.transport import AsyncRequest
from palan.client._contract import plan
from palan.client._limits import CLIENT, Limit
from palan.client._request import Prepared, adapt, encode_header, prepare
from palan.client._results import decode, path_stat
from palan.client.errors import ProtocolError


if TYPE_CHECKING:
    from palan.client._environment import Environment

__all__ = ["AsyncCalling", "AsyncSender"]

_TTY_REPORTED_SINCE: Final = Version(1, 42)


class AsyncSender(Protocol):
    """A client, as the sender of calls sees it."""

    timeout: float | None
    """Seconds for a call that has no limit of its own; None is unlimited."""

    @property
    def environment(self) -> "Environment":
        """The configuration and the credentials of the docker CLI."""

    @property
    def spoken(self) -> Version:
        """The API version in use; the newest one before it was negotiated."""

    async def negotiate(self) -> Version:
        """Return the API version in use, after asking the engine if necessary."""

    async def send(self, request: AsyncRequest, path: str) -> AsyncResponse:
        """Send a request and wait for the head of its response."""


class AsyncCalling:
    """Sends the requests of calls, and decodes responses as the endpoints declare them."""

    def __init__(self, client: AsyncSender) -> None:
        self._client = client

    async def open(self, prepared: Prepared, timeout: float | None) -> AsyncResponse:
        """Send a request for a stream, and wait for the head of the response.

        Raises:
            APIError: the status is 400 or above.
        """
        check_seconds(timeout)
        return await self._send(prepared, each=timeout, total=None)

    async def call(self, operation: str, arguments: Mapping[str, Any], timeout: Limit) -> Any:
        """Send a request, and return its whole response as the endpoint declares it."""
        made = plan(operation)
        default = None if made.endpoint.slow else self._client.timeout
        limit = default if timeout is CLIENT else timeout
        check_seconds(limit)
        prepared = prepare(operation, arguments)
        # A wait may last until another call is made, and a body may need other calls.
        brief = operation != "containers.wait" and not made.streams_body
        response = await self._send(prepared, each=None, total=limit, brief=brief)
        result = made.endpoint.result
        if isinstance(result, Stat):
            return self.path_stat(response)
        data = await response.read()
        kind = getattr(result, "type", None)
        if kind is None:
            return None
        try:
            return decode(operation, self._client.spoken, kind, data)
        except ProtocolError as error:
            error.method, error.path = made.endpoint.method, made.endpoint.path
            raise

    async def _send(
        self,
        prepared: Prepared,
        *,
        each: float | None,
        total: float | None,
        brief: bool = False,
    ) -> AsyncResponse:
        version = await self._client.negotiate()
        adapt(prepared, version)
        endpoint = prepared.plan.endpoint
        headers = prepared.headers
        if prepared.wants_auth:
            found = await in_thread(
                self._client.environment.credentials_of_image, prepared.wants_auth
            )
            if found is not None:
                headers = [*headers, ("X-Registry-Auth", encode_header(found))]
        if prepared.plan.operation == "images.push":
            # Without the header, older engines expect credentials in the body, which is empty.
            headers = [one for one in headers if one != ("X-Registry-Auth", "")]
            if not any(name == "X-Registry-Auth" for name, _ in headers):
                headers.append(("X-Registry-Auth", encode_header({})))
        result = endpoint.result
        if isinstance(result, Hijack) and not any(name == "Upgrade" for name, _ in headers):
            headers = [*headers, ("Connection", "Upgrade"), ("Upgrade", result.upgrade)]
        response = await self._client.send(
            AsyncRequest(
                endpoint.method,
                f"/v{version}{prepared.target}",
                headers,
                prepared.body,
                each=each,
                total=total,
                hijack=isinstance(result, Hijack),
                brief=brief,
            ),
            prepared.path,
        )
        await response.raise_for_status()
        return response

    # Used by streams: their module imports neither declarations nor messages.
    prepare = staticmethod(prepare)

    def message(self, prepared: Prepared, line: bytes) -> Any:
        """Decode one of the messages of a stream."""
        made = prepared.plan
        kind = getattr(made.endpoint.result, "type", None)
        return decode(made.operation, self._client.spoken, kind, line)

    @staticmethod
    def path_stat(response: AsyncResponse) -> PathStat:
        """Decode the properties of a path from a response's headers."""
        return path_stat(response.headers.get("x-docker-container-path-stat", ""))

    async def reports_tty(self) -> bool:
        """Return whether responses of the API version in use tell if output is in frames."""
        return await self._client.negotiate() >= _TTY_REPORTED_SINCE

    async def has_tty(self, prepared: Prepared) -> bool:
        """Ask whether the process of a stream has a TTY, which older responses do not tell."""
        operation = prepared.plan.operation
        identity = prepared.path.split("/")[2]
        if operation.startswith("containers."):
            found = await self.call("containers.inspect", {"id": identity}, CLIENT)
            return bool(found.config.tty)
        if operation == "exec.start":
            found = await self.call("exec.inspect", {"id": identity}, CLIENT)
            return bool(found.process_config.tty)
        if operation == "services.logs":
            found = await self.call("services.inspect", {"id": identity}, CLIENT)
            spec = found.spec.task_template.container_spec
            return bool(spec and spec.tty)
        return False
