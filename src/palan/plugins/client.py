"""Requests to a plugin: JSON in both directions, one connection per request.

The client is asynchronous because a plugin may take minutes to mount something, and a thread
that waits for it would be missing elsewhere.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httptools
import msgspec

from palan.plugins.discovery import Address
from palan.plugins.failures import PluginFailure, PluginUnreachable


__all__ = ["MEDIA_TYPE", "PluginClient"]

MEDIA_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"
_HOST: Final = "plugin.moby.localhost"
_PIECE: Final = 64 << 10
_MAX_ANSWER: Final = 32 << 20
_LONG: Final = 120.0
_BACKOFF: Final = (1.0, 2.0, 4.0, 8.0)


class _Answer:
    """Collects the parts of an HTTP response that the parser reports."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.begun = self.complete = False

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, data: bytes) -> None:
        self.body += data
        if len(self.body) > _MAX_ANSWER:
            raise PluginFailure(f"the answer exceeds {_MAX_ANSWER} bytes")

    def on_message_complete(self) -> None:
        self.complete = True


class PluginClient:
    """A plugin that accepts requests.

    Attributes:
        name: the plugin's name.
        address: the address where it listens.
        implements: the drivers that it implements, such as ``VolumeDriver``.
    """

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self.implements: frozenset[str] = frozenset()

    async def call(
        self,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float = _LONG,  # noqa: ASYNC109 - a limit for the plugin, not for the caller
        patience: float = 0.0,
    ) -> dict[str, Any]:
        """Send a request and return the answer.

        Args:
            method: such as ``VolumeDriver.Create``.
            arguments: the arguments of the request; None for an empty body.
            timeout: seconds in which the plugin has to answer.
            patience: seconds in which to retry while the connection is refused, because a plugin
                that is being started or updated does not listen yet.

        Returns:
            The answer, a JSON object without an error in ``Err``.

        Raises:
            PluginUnreachable: no answer came, or not in time.
            PluginFailure: the answer is an error, or malformed.
        """
        body = b"" if arguments is None else msgspec.json.encode(dict(arguments))
        waited = 0.0
        for pause in (*_BACKOFF, None):
            try:
                status, data = await self._ask(method, body, timeout)
                break
            except ConnectionError as error:
                if pause is None or waited + pause > patience:
                    raise self._unreachable(method, error) from None
                waited += pause
                await asyncio.sleep(pause)
            except (OSError, ValueError) as error:
                raise self._unreachable(method, error) from None
        return _checked(method, status, data)

    def _unreachable(self, method: str, error: Exception) -> PluginUnreachable:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        return PluginUnreachable(f"{method}: plugin {self.name} at {self.address}: {reason}")

    async def _ask(self, method: str, body: bytes, timeout: float) -> tuple[int, bytes]:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._connect()
                try:
                    writer.write(_head(method, len(body)) + body)
                    return await _answer(reader)
                finally:
                    writer.transport.abort()
        except TimeoutError:
            raise PluginUnreachable(
                f"{method}: plugin {self.name} at {self.address}: no answer within {timeout:g}"
                " seconds"
            ) from None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self.address
        if address.path:
            return await asyncio.open_unix_connection(address.path)
        context: ssl.SSLContext | None = None
        if address.tls is not None:
            context = await asyncio.to_thread(address.tls.context)
        return await asyncio.open_connection(address.host, address.port, ssl=context)


def _head(method: str, length: int) -> bytes:
    return (
        f"POST /{method} HTTP/1.1\r\nHost: {_HOST}\r\nUser-Agent: palan\r\n"
        f"Accept: {MEDIA_TYPE}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    try:
        while not answer.complete:
            data = await reader.read(_PIECE)
            if not data:
                if not answer.begun or parser.should_keep_alive():
                    raise ConnectionResetError(0, "the connection was closed without an answer")
                break  # an answer without a length ends with the connection
            parser.feed_data(data)
    except httptools.HttpParserError as error:
        if isinstance(error.__context__, PluginFailure):
            raise error.__context__ from None
        raise PluginFailure(f"not HTTP: {error}") from None
    return parser.get_status_code(), bytes(answer.body)


def _checked(method: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data) if data.strip() else {}
    except msgspec.DecodeError as error:
        answer = error
    reported = answer.get("Err") if isinstance(answer, dict) else None
    if status != 200:
        why = reported or data.decode(errors="replace").strip()
        raise PluginFailure(f"{method}: {why}", status)
    if not isinstance(answer, dict):
        raise PluginFailure(f"{method}: the answer is not a JSON object: {answer}", status)
    if reported:
        raise PluginFailure(str(reported), status)
    return answer
