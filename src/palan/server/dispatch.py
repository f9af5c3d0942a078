"""Dispatching requests to the methods of the engine.

For each exchange: find the endpoint, check the client's API version, decode the request,
call ``engine.<group>.<operation>``, and write the result as the endpoint declares. Only
here do errors become statuses.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from palan import __version__
from palan.api.codec import BodyKind, body_kind, decode_request, split_query
from palan.api.endpoint import Endpoint
from palan.api.errors import InvalidParameter, NotYetImplemented, PalanError, machine_failure
from palan.api.results import Hijack, WithHeaders
from palan.api.version import Version
from palan.server import answers
from palan.server.call import Call
from palan.server.exchange import ClientGone, Exchange
from palan.server.http1 import ProtocolError, RequestHead
from palan.server.old_clients import limit_version
from palan.server.routing import BadTarget, Found, Redirect, Router, split_target


__all__ = ["Dispatcher", "Operation", "Settled"]

Operation = Callable[[Any], Awaitable[Any]]
"""The engine's method for an endpoint."""

Settled = Callable[[], Awaitable[None]]
"""Waits until all that the engine has recorded so far is committed."""

_MAX_JSON: Final = 16 * 2**20
"""Bytes of a JSON body. dockerd has no limit, but real bodies are far smaller."""

_LONG_BODY: Final = 128 * 1024
"""Bytes of a JSON body that is decoded in a thread."""

_PLAIN_TEXT_BELOW: Final = Version(1, 24)
"""Older clients cannot read errors in JSON."""

_SHORT_BODY: Final = 7
"""Bytes of a body that counts as empty (``null``, ``{}``) where an endpoint refuses bodies."""

_READING: Final = ("GET", "HEAD")
"""Methods of requests that change nothing."""

_NOT_FOUND: Final = b'{"message":"page not found"}\n'
_JSON: Final = ("Content-Type", "application/json")

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Answers requests by calling the engine."""

    def __init__(
        self,
        router: Router,
        operations: Mapping[Endpoint, Operation],
        min_version: Version,
        max_version: Version,
        settled: Settled,
    ) -> None:
        self._router = router
        # By identity: the hash of an endpoint covers the whole declaration, which takes longer.
        self._operations = {id(endpoint): method for endpoint, method in operations.items()}
        self._settled = settled
        self._min_version = min_version
        self._max_version = max_version
        self._version_headers = {
            "Api-Version": str(max_version),
            "Ostype": "linux",
            "Server": f"Palan/{__version__} (linux)",
        }
        self._headers = {**self._version_headers, "Docker-Experimental": "false"}

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            ProtocolError: the target of the request is malformed.
            ClientGone: the client has closed the connection.
        """
        try:
            target = split_target(exchange.head.target)
        except BadTarget:
            raise ProtocolError(400) from None
        found = self._router.find(exchange.head.method, target)
        if found is None:
            await exchange.respond(404, [_JSON], _NOT_FOUND)
        elif isinstance(found, Redirect):
            await exchange.respond(301, [("Location", found.location)])
        elif (version := await self._negotiate(exchange, found)) is not None:
            if found.endpoint is None:
                await exchange.respond(200, sorted(self._headers.items()))
            else:
                call = Call(exchange, found.endpoint, version, self._headers)
                await self._answer(call, found.parameters, target.query)

    async def _negotiate(self, exchange: Exchange, found: Found) -> Version | None:
        """Return the API version of the request; None if it was answered with an error."""
        if not found.version:
            return self._max_version
        version = Version.parse(found.version)
        if self._min_version <= version <= self._max_version:
            return version
        if version > self._max_version:
            message = (
                f"client version {found.version} is too new. "
                f"Maximum supported API version is {self._max_version}"
            )
        else:
            message = (
                f"client version {found.version} is too old. "
                f"Minimum supported API version is {self._min_version}, "
                "please upgrade your client to a newer version"
            )
        headers = dict(self._version_headers)
        if version < _PLAIN_TEXT_BELOW:
            headers["Content-Type"] = "text/plain; charset=utf-8"
            headers["X-Content-Type-Options"] = "nosniff"
            body = f"{message}\n".encode()
        else:
            headers["Content-Type"] = "application/json"
            body = _error_body(message)
        await exchange.respond(400, sorted(headers.items()), body)
        return None

    async def _answer(self, call: Call, parameters: Mapping[str, str], query: str) -> None:
        try:
            endpoint = call.endpoint
            if call.version < endpoint.since:
                raise InvalidParameter(  # noqa: TRY301 - answered as any other error
                    f"{endpoint} requires minimum API version {endpoint.since}"
                )
            method = self._operations.get(id(endpoint))
            if method is None:
                raise NotYetImplemented(  # noqa: TRY301 - answered as any other error
                    f"{endpoint} is not implemented by this engine yet"
                )
            request = await self._request(call, parameters, query)
            result = await method(request)
            if call.exchange.head.method not in _READING:
                await self._settled()
            if isinstance(result, WithHeaders):
                call.headers = {**call.headers, **result.headers}
                result = result.value
            await answers.send(call, limit_version(call.exchange.head.headers, result))
        except PalanError as error:
            await self._refuse(call, error)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - becomes an error with details in the log
            if reason := machine_failure(error):
                _log.error("request failed", operation=call.endpoint.name, reason=reason)
                await self._refuse(call, PalanError(reason))
                return
            _log.exception("request failed", operation=call.endpoint.name)
            kind = type(error).__name__
            await self._refuse(
                call, PalanError(f"internal error ({kind}): the engine's log has more about it")
            )

    async def _request(self, call: Call, parameters: Mapping[str, str], query: str) -> Any:
        kind = body_kind(call.endpoint)
        body: Any = None
        if kind == BodyKind.STREAM:
            body = call.exchange.body()
        elif kind == BodyKind.JSON and call.exchange.head.has_body:
            body = await call.exchange.read_body(_MAX_JSON)
        elif call.endpoint.refuses_body and _is_long(call.exchange.head):
            raise InvalidParameter(call.endpoint.refuses_body)
        unread: list[str] = []
        decode = partial(
            decode_request,
            call.endpoint,
            path=parameters,
            query=split_query(query),
            headers=call.exchange.head.headers,
            body=body,
            version=call.version,
            notices=call.notices,
            unread=unread,
        )
        if isinstance(body, bytes) and len(body) > _LONG_BODY:
            # Other requests are answered meanwhile.
            request = await asyncio.to_thread(decode)
        else:
            request = decode()
        for header in unread:
            _log.warning("a header cannot be decoded and is ignored", header=header)
        return request

    async def _refuse(self, call: Call, error: PalanError) -> None:
        if call.exchange.status is not None:
            # The head has been sent; resetting the connection shows that the answer is incomplete.
            call.exchange.abort()
        elif isinstance(call.endpoint.result, Hijack) and call.endpoint.result.early:
            await answers.refuse_in_stream(call, error)
        elif error.status == 304:
            await call.exchange.respond(304, call.header_lines())
        else:
            await call.exchange.respond(
                error.status,
                call.header_lines({"Content-Type": "application/json"}),
                _error_body(error.message),
            )


def _is_long(head: RequestHead) -> bool:
    length = head.content_length
    return length is None or length > _SHORT_BODY


def _error_body(message: str) -> bytes:
    # Messages may quote input that is not valid UTF-8.
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return msgspec.json.encode({"message": text}) + b"\n"
